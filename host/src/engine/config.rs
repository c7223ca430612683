//! `wasi:config` for the component: the settings that its host gave it.

use super::{
    bindings::wasi::config::store::{Error, Host},
    state::State,
};

impl Host for State {
    fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<String>, Error>> {
        let value = self.settings.iter().rev().find(|(name, _)| *name == key);
        Ok(Ok(value.map(|(_, value)| value.clone())))
    }

    fn get_all(&mut self) -> wasmtime::Result<Result<Vec<(String, String)>, Error>> {
        Ok(Ok(self.settings.to_vec()))
    }
}
