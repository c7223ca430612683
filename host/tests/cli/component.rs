//! `component`: what other runtimes load.

use std::fs;

use crate::home::Home;
use mcp_reporter_artifacts::{EDGE, PLUGIN, REPORTER, plugin_with_tool_docs};
use serde_json::json;

#[test]
fn each_form_is_written_byte_for_byte_and_named() {
    let (home, tools) = (Home::empty(), plugin_with_tool_docs());
    for (form, files) in [
        ("--core", &[("mcp-reporter.wasm", REPORTER)][..]),
        ("--plugin", &[("mcp-reporter-plugin.wasm", PLUGIN)]),
        ("--tools", &[("mcp-reporter-tools.wasm", &*tools)]),
        ("--edge", &[("mcp-reporter-edge.wasm", EDGE)]),
        ("--wash", &[("mcp-reporter-edge.wasm", EDGE)]),
        ("--spin", &[("mcp-reporter.wasm", REPORTER)]),
    ] {
        let out = home.path(format!("new/{}", &form[2..]));
        let out = out.to_str().unwrap();
        // The second time over what the first left.
        for _ in 0..2 {
            let said = home.ok(&["component", form, "--out", out]);
            for (name, bytes) in files {
                assert!(said.contains(name), "{said}");
                assert_eq!(
                    fs::read(home.path(format!("{out}/{name}"))).unwrap(),
                    *bytes
                );
            }
        }
        let mut names: Vec<_> = fs::read_dir(out)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let more = (form == "--spin").then_some("spin.toml");
        let expected: Vec<_> = files.iter().map(|(name, _)| *name).chain(more).collect();
        assert_eq!(names, expected);
    }
    assert_eq!(
        home.json(&["component", "--core", "--out", "json", "--json"]),
        json!({ "files": [{ "path": "json/mcp-reporter.wasm", "bytes": REPORTER.len() }] })
    );
}

#[test]
fn the_manifest_is_the_repositorys_for_a_component_beside_it() {
    let home = Home::empty();
    home.ok(&["component", "--spin", "--out", "spin"]);
    let read = |text: &str| text.parse::<toml::Table>().unwrap();
    let written = fs::read_to_string(home.path("spin/spin.toml")).unwrap();
    let mut expected = read(include_str!("../../../spin.toml"));
    let component = expected["component"]["mcp-reporter"]
        .as_table_mut()
        .unwrap();
    assert!(component.remove("build").is_some());
    component.insert("source".to_owned(), "mcp-reporter.wasm".into());
    assert_eq!(read(&written), expected);
}

#[test]
fn a_manifest_that_was_changed_is_not_lost() {
    let home = Home::empty();
    let args = ["component", "--spin", "--out", "spin"];
    home.ok(&args);
    let (manifest, component) = (
        home.path("spin/spin.toml"),
        home.path("spin/mcp-reporter.wasm"),
    );
    let original = fs::read(&manifest).unwrap();
    fs::write(&manifest, "# mine\n").unwrap();
    fs::write(&component, "an older one").unwrap();
    home.run(&args).refused(
        1,
        "spin.toml is there already and differs: nothing was written",
    );
    assert_eq!(fs::read(&manifest).unwrap(), b"# mine\n");
    assert_eq!(fs::read(&component).unwrap(), b"an older one");
    home.ok(&[&args[..], &["--force"]].concat());
    assert_eq!(fs::read(&manifest).unwrap(), original);
    assert_eq!(fs::read(&component).unwrap(), REPORTER);
}

#[test]
fn a_folder_that_cannot_be_is_named() {
    let home = Home::empty();
    fs::write(home.path("file"), "").unwrap();
    let ran = home.run(&["component", "--core", "--out", "file/below"]);
    ran.refused(1, "file/below cannot be written");
    let ran = home.run(&["component", "--core", "--spin", "--out", "x"]);
    ran.refused(2, "cannot be used with");
    home.run(&["component", "--out", "x"])
        .refused(2, "--core|--spin|--plugin|--tools|--edge");
    let ran = home.run(&["component", "--core", "--out", "x", "--config", "y"]);
    ran.refused(2, "--config has no effect");
    assert!(!home.path("x").exists());
}
