//! Builds the guest and the provider components for `wasm32-unknown-unknown`, wraps each module as a
//! component, and composes those that other runtimes load.
//!
//! That target, and not `wasm32-wasip2`, because a component then imports what its world names
//! and nothing else; wasip2 adds environment, exit, standard input and terminals to every one.

mod compose;
mod outer;
mod shrink;
mod tool_docs;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use wit_component::ComponentEncoder;

const TARGET: &str = "wasm32-unknown-unknown";

/// The linker pads each index to five bytes, to be able to change it; the first takes the padding
/// out, a tenth of the component. The second inlines what is no larger than its call.
const FLAGS: &str = "-Clink-arg=--compress-relocations -Cllvm-args=--inline-threshold=10";

/// What is built: the name of the package, and of its module.
const PACKAGES: [(&str, &str); 4] = [
    ("mcp-reporter-component", "reporter"),
    ("mcp-reporter-config-env", "config_env"),
    ("mcp-reporter-keyvalue-fs", "keyvalue_fs"),
    ("mcp-reporter-deny", "deny"),
];

/// What the components are made from, relative to `guest/`.
const SOURCES: [&str; 17] = [
    "Cargo.lock",
    "Cargo.toml",
    "src",
    "core/Cargo.toml",
    "core/src",
    "event/Cargo.toml",
    "event/src",
    "plugs/config-env/Cargo.toml",
    "plugs/config-env/src",
    "plugs/deny/Cargo.toml",
    "plugs/deny/src",
    "plugs/keyvalue-fs/Cargo.toml",
    "plugs/keyvalue-fs/src",
    "plugs/runtime/Cargo.toml",
    "plugs/runtime/src",
    "../Cargo.toml",
    "../wit",
];

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    let guest = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("..");
    let out = PathBuf::from(variable("OUT_DIR")?);
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", guest.join(source).display());
    }

    // The build around this one holds the lock of its own target folder. One for all variants of
    // this crate (checked, tested, …), in the folder of the profile: `<profile>/build/<crate>/out`.
    let target_dir = out.ancestors().nth(3).unwrap_or(&out).join("guest");
    let mut cargo = toolchain()?;
    cargo
        .args(["build", "--release", "--locked", "--target", TARGET])
        .arg("--target-dir")
        .arg(&target_dir)
        .current_dir(&guest);
    for (package, _) in PACKAGES {
        cargo.args(["--package", package]);
    }
    outer::remove_variables(&mut cargo);
    run(cargo.env("RUSTFLAGS", FLAGS))?;

    let mut components = Vec::new();
    for (_, name) in PACKAGES {
        let module = target_dir.join(TARGET).join(format!("release/{name}.wasm"));
        let module = fs::read(&module).map_err(|e| format!("{}: {e}", module.display()))?;
        components.push(componentize(name, &module)?);
    }
    let [reporter, config_env, keyvalue_fs, deny] = &components[..] else {
        return Err("a component is missing".to_owned());
    };
    let write = |name: &str, bytes: &[u8]| {
        let path = out.join(name);
        fs::write(&path, bytes).map_err(|e| format!("{}: {e}", path.display()))
    };
    write("reporter.wasm", reporter)?;
    write("config_env.wasm", config_env)?;
    write("keyvalue_fs.wasm", keyvalue_fs)?;
    write("deny.wasm", deny)?;
    let parts = compose::Parts {
        reporter,
        keyvalue: keyvalue_fs,
        config: config_env,
    };
    write("plugin.wasm", &parts.plugin()?)?;
    write("edge.wasm", &parts.edge()?)?;
    write("tool_docs.bin", &tool_docs::section(&guest.join("../wit"))?)
}

/// Wraps a core module, whose custom sections describe its world, as a component.
fn componentize(name: &str, module: &[u8]) -> Result<Vec<u8>, String> {
    let component = ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|encoder| encoder.encode())
        .map_err(|e| format!("{name} does not make a component: {e:#}"))?;
    shrink::shrink(&component)
}

/// A cargo that can build for wasm, with the flags that it needs for that.
fn toolchain() -> Result<Command, String> {
    let rustc = variable("RUSTC")?;
    let mut failures = String::new();
    if !has_std(&rustc)
        && let Err(why) = add_target()
    {
        failures.push_str(&format!("\n  rustup: {why}"));
    }
    if has_std(&rustc) {
        return Ok(Command::new(variable("CARGO")?));
    }
    match debian(&rustc) {
        Ok(cargo) => Ok(cargo),
        Err(why) => Err(format!(
            "the component needs Rust's standard library for {TARGET}, which is not installed:\
             {failures}\n  Debian: {why}\n\
             Either of these mends it:\n  \
             rustup target add {TARGET}\n  \
             apt-get install rustc-web cargo-web rust-web-src"
        )),
    }
}

fn has_std(rustc: &str) -> bool {
    let Ok(dir) =
        output(Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]))
    else {
        return false;
    };
    let Ok(files) = fs::read_dir(dir) else {
        return false;
    };
    files
        .flatten()
        .any(|f| f.file_name().to_string_lossy().starts_with("libstd-"))
}

fn add_target() -> Result<(), String> {
    // Only set when rustup chose this toolchain; a target for another would not help.
    let toolchain = variable("RUSTUP_TOOLCHAIN")?;
    run(Command::new("rustup").args(["target", "add", "--toolchain", &toolchain, TARGET]))
}

/// Debian's toolchain, which has no library for the target but its source, and so builds it.
fn debian(rustc: &str) -> Result<Command, String> {
    let [debian_rustc, debian_cargo] = ["/usr/bin/rustc", "/usr/bin/cargo"];
    for tool in [debian_rustc, debian_cargo] {
        if !Path::new(tool).exists() {
            return Err(format!("{tool} is missing"));
        }
    }
    let sysroot = output(Command::new(debian_rustc).args(["--print", "sysroot"]))?;
    let library = Path::new(&sysroot).join("lib/rustlib/src/rust/library");
    if !library.exists() {
        return Err(format!("{} is missing", library.display()));
    }

    // Debian's has no linker for wasm; the toolchain in use has one.
    let sysroot = output(Command::new(rustc).args(["--print", "sysroot"]))?;
    let linkers = Path::new(&sysroot)
        .join("lib/rustlib")
        .join(variable("HOST")?)
        .join("bin");
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([linkers].into_iter().chain(env::split_paths(&path)))
        .map_err(|e| e.to_string())?;

    let mut cargo = Command::new(debian_cargo);
    cargo
        .arg("-Zbuild-std=std,panic_abort")
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTC", debian_rustc)
        .env("PATH", path)
        // Holds the libraries of the toolchain in use.
        .env_remove("LD_LIBRARY_PATH");
    Ok(cargo)
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|e| format!("{name}: {e}"))
}

fn run(command: &mut Command) -> Result<(), String> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{command:?} failed: {status}")),
        Err(e) => Err(format!("{command:?}: {e}")),
    }
}

fn output(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    if !output.status.success() {
        return Err(format!("{command:?} failed: {}", output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
