//! Which files are taken for the component, and where compiled code is kept.

use super::*;
use crate::engine::EngineError;

fn refusal(bytes: &[u8]) -> String {
    let engine = Engine::new(&EngineOptions::default()).unwrap();
    match engine.load(bytes) {
        Ok(_) => panic!("taken for the component"),
        Err(error) => error.to_string(),
    }
}

/// A component of one section after another.
fn component(sections: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    for (id, contents) in sections {
        bytes.push(*id);
        assert!(contents.len() < 16_384);
        bytes.extend([
            contents.len() as u8 & 0x7f | 0x80,
            (contents.len() >> 7) as u8,
        ]);
        bytes.extend_from_slice(contents);
    }
    bytes
}

#[test]
fn what_is_no_component_is_refused_by_what_it_is() {
    assert!(refusal(b"").contains("it is empty"));
    assert!(refusal(b"#!/bin/sh\nexit 1\n").contains("it is not WebAssembly in binary form"));
    assert!(refusal(b"(component)").contains("it is not WebAssembly in binary form"));
    assert!(refusal(b"\0asm\x01\0\0\0").contains("it is a core WebAssembly module"));
    assert!(refusal(b"\0asm\x09\0\0\0").contains("unknown version"));
}

#[test]
fn a_damaged_component_is_refused() {
    let bytes = mcp_reporter_artifacts::REPORTER;
    let text = refusal(&bytes[..bytes.len() / 2]);
    assert!(text.contains("cannot be compiled"), "{text}");
}

#[test]
fn a_component_without_our_exports_is_refused_by_their_names() {
    let text = refusal(&component(&[]));
    for name in ["reporter", "outbox", "coordinator"] {
        let export = format!("mcp-reporter:interactions/{name}@0.1.0");
        assert!(text.contains(&export), "{text}");
    }
}

#[test]
fn a_component_that_asks_for_more_is_refused_by_what_it_asks_for() {
    for asked in [
        "wasi:cli/environment@0.2.0",
        "wasi:cli/exit@0.2.0",
        "wasi:cli/stdin@0.2.0",
        "wasi:filesystem/preopens@0.2.0",
        "wasi:filesystem/types@0.2.0",
        "wasi:sockets/instance-network@0.2.0",
        "wasi:sockets/ip-name-lookup@0.2.0",
        "wasi:sockets/tcp@0.2.0",
        "wasi:sockets/udp@0.2.0",
        "vendor:anything/else@1.0.0",
    ] {
        let text = refusal(&asking_for(asked));
        assert!(text.contains(asked), "{text}");
    }
}

/// A component with all our exports that imports `asked`.
fn asking_for(asked: &str) -> Vec<u8> {
    let mut import = vec![1, 0, asked.len() as u8];
    import.extend(asked.as_bytes());
    import.extend([5, 0]);
    // All three exports are one empty instance.
    let mut export = vec![3];
    for name in ["reporter", "outbox", "coordinator"] {
        let name = format!("mcp-reporter:interactions/{name}@0.1.0");
        export.extend([0, name.len() as u8]);
        export.extend(name.as_bytes());
        export.extend([5, 1, 0]);
    }
    component(&[
        // An instance with a function `f` that takes and returns nothing.
        (7, &[1, 0x42, 2, 1, 0x40, 0, 1, 0, 4, 0, 1, b'f', 1, 0]),
        (10, &import),
        (5, &[1, 1, 0]),
        (11, &export),
    ])
}

#[test]
fn compiled_code_is_kept_in_a_private_folder() {
    let folder = tempfile::tempdir().unwrap();
    let cache_dir = folder.path().join("new/cache");
    let options = EngineOptions {
        cache_dir: Some(cache_dir.clone()),
        ..Default::default()
    };
    Engine::new(&options)
        .unwrap()
        .load(mcp_reporter_artifacts::REPORTER)
        .unwrap();
    assert!(std::fs::read_dir(&cache_dir).unwrap().next().is_some());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = cache_dir.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}

#[cfg(unix)]
#[test]
fn a_cache_that_others_can_write_is_refused() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
    let options = EngineOptions {
        cache_dir: Some(path),
        ..Default::default()
    };
    match Engine::new(&options) {
        Err(error @ EngineError::CacheExposed { mode: 0o777, .. }) => {
            assert!(error.to_string().contains("chmod 700"));
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("accepted"),
    }
}
