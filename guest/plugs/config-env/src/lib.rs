//! `wasi:config/store` on environment variables, for runtimes that give a component those and no
//! configuration.
//!
//! The setting `coordinator_url` is the variable `MCP_REPORTER_COORDINATOR_URL`, as in our host;
//! variables of other names are not shown to the component. One default differs: where
//! `MCP_REPORTER_DELIVER_ON_REPORT` is absent or empty, `deliver_on_report` is `true`, because the
//! runtimes that this is for have no timer to deliver by.

#![no_std]

extern crate alloc;

use alloc::{borrow::ToOwned, string::String, vec::Vec};

use mcp_reporter_core::settings::{ENV_PREFIX, WITHOUT_TIMER};
use mcp_reporter_plug_runtime as _;

use bindings::{
    exports::wasi::config::store::{Error, Guest},
    wasi::cli::environment::get_environment,
};

mod bindings {
    //! The world of this provider, as generated from `wit/`.
    #![allow(
        unsafe_code,
        missing_docs,
        unused_qualifications,
        clippy::all,
        reason = "generated: the canonical ABI takes raw pointers"
    )]

    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package mcp-reporter:config-env;

            world config-env {
                import wasi:cli/environment@0.2.0;
                export wasi:config/store@0.2.0-draft-2024-09-27;
            }
        ",
        world: "mcp-reporter:config-env/config-env",
        generate_all,
    });

    export!(Component with_types_in self);

    use crate::Component;
}

/// What the world's export is implemented on.
struct Component;

impl Guest for Component {
    fn get(key: String) -> Result<Option<String>, Error> {
        // The last of several counts, as it does to the component.
        let found = settings().into_iter().rev().find(|(name, _)| *name == key);
        Ok(found.map(|(_, value)| value))
    }

    fn get_all() -> Result<Vec<(String, String)>, Error> {
        Ok(settings())
    }
}

fn settings() -> Vec<(String, String)> {
    let variables = get_environment().into_iter();
    let named = variables.filter_map(|(name, value)| Some((setting(&name)?, value)));
    // An empty variable counts as absent.
    let mut settings: Vec<_> = named.filter(|(_, value)| !value.is_empty()).collect();
    let (name, default) = WITHOUT_TIMER;
    if !settings.iter().any(|(given, _)| given == name) {
        settings.push((name.to_owned(), default.to_owned()));
    }
    settings
}

/// The setting that the variable `name` stands for.
fn setting(name: &str) -> Option<String> {
    let rest = name.strip_prefix(ENV_PREFIX)?;
    let capitals = !rest.bytes().any(|b| b.is_ascii_lowercase());
    capitals.then(|| rest.to_ascii_lowercase())
}
