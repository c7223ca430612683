use super::*;

#[test]
fn the_template_is_valid_as_it_is_and_off() {
    let template = Config::template();
    let config = Place::with_file(&template).load();
    assert!(!config.enabled());
    assert_eq!(
        shown(&config, "enable_interaction_logging").0.as_deref(),
        Some("false")
    );
    for key in keys() {
        assert!(
            template.contains(&format!("# {}\n# Must be {}.\n", key.doc, key.allowed)),
            "{}",
            key.name
        );
    }
    assert!(template.contains("\n#rate_limit = 10\n"), "{template}");
    assert!(template.contains("\n#store = \"sqlite\"\n"), "{template}");
}

#[test]
fn the_template_with_all_its_lines_says_the_defaults() {
    let all: String = Config::template()
        .lines()
        .map(|line| {
            line.strip_prefix('#')
                .filter(|rest| !rest.starts_with(' '))
                .unwrap_or(line)
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let values = |config: Config| {
        config
            .show()
            .into_iter()
            .map(|shown| (shown.key, shown.value))
            .collect::<Vec<_>>()
    };
    let mut place = Place::with_file(&all);
    let with_lines = values(place.load());
    place.sources.file = Some(place.write("empty.toml", ""));
    assert_eq!(with_lines, values(place.load()));
    assert!(all.contains("\nrate_limit = 10\n"));
}

#[test]
fn a_template_is_written_for_its_owner_and_overwrites_nothing() {
    let place = Place::new();
    let path = place.path("config/mcp-reporter/config.toml");
    Config::write_template(&path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), Config::template());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
    }
    fs::write(&path, "mine").unwrap();
    assert_eq!(
        Config::write_template(&path).unwrap_err().to_string(),
        format!(
            "{} exists and is not overwritten: remove it or name another file",
            path.display()
        )
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    let below = path.join("config.toml");
    let error = Config::write_template(&below).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!(
            "cannot write the configuration file {}: ",
            below.display()
        )),
        "{error}"
    );
}
