//! The operations of `wasi:keyvalue`, on values and registers.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::str;

use crate::{
    bindings::{store::Error, wasi::random::random::get_random_u64},
    folder::{self, Folder, Renamed},
    leftovers, names,
    record::{self, ABSENT, Record},
    register::{self, Pointer, Register, State},
};

/// The store.
pub struct Bucket {
    values: Folder,
    registers: Folder,
    new: Folder,
}

/// What a compare-and-swap compares with.
pub struct Seen {
    /// The value.
    pub value: Option<Vec<u8>>,
    place: Place,
}

enum Place {
    /// In `values/`, with this number.
    Plain(u64),
    /// In the register, which began on the value of the number that comes second.
    Register(Pointer, u64),
}

impl Bucket {
    /// Opens the store, and makes it where it is absent.
    pub fn open() -> Result<Self, Error> {
        let home = folder::home()?;
        Ok(Self {
            values: home.make("values")?,
            registers: home.make("swapped")?,
            new: home.make("new")?,
        })
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.look(key)?.value)
    }

    /// The value of `key`, and where it is.
    pub fn look(&self, key: &str) -> Result<Seen, Error> {
        let name = names::file(key);
        // Before the register: while that leaves it to this one, this one is the value.
        let plain = self.plain(&name)?;
        let register = register::open(&self.registers, &name)?;
        let state = register.map(|register| register.read()).transpose()?;
        if let Some(Some(State::Decided(current))) = state {
            let value = (!current.pointer.is_gone()).then_some(current.record.value);
            let place = Place::Register(current.pointer, current.record.base);
            return Ok(Seen { value, place });
        }
        let place = Place::Plain(plain.as_ref().map_or(ABSENT, |record| record.id));
        let value = plain.map(|record| record.value);
        Ok(Seen { value, place })
    }

    fn plain(&self, name: &str) -> Result<Option<Record>, Error> {
        Ok(self.values.read(name)?.map(record::decode))
    }

    /// Sets `key`.
    pub fn set(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        let name = names::file(key);
        let id = get_random_u64();
        let draft = names::hex(id);
        self.new.write(&draft, &record::encode(id, id, value))?;
        match self.new.rename(&draft, &self.values, &name)? {
            Renamed::Done => self.settle(&name, id, Some(value)),
            Renamed::NoSource => Err(Error::Other(String::from(
                "writing a value took so long that it was taken for left over",
            ))),
            Renamed::Taken => Err(Error::Other(
                [
                    "the store has a folder where the value of ",
                    key,
                    " belongs",
                ]
                .concat(),
            )),
        }
    }

    /// Deletes `key`.
    pub fn delete(&self, key: &str) -> Result<(), Error> {
        let name = names::file(key);
        if let Some(register) = register::open(&self.registers, &name)? {
            while let Some(State::Decided(current)) = register.read()? {
                if current.pointer.is_gone()
                    || register.step(Some(current.pointer), current.record.base, None)?
                {
                    return Ok(());
                }
            }
        }
        self.values.remove(&name)?;
        self.settle(&name, ABSENT, None)
    }

    /// After `values/` was changed: sees to it that a register which began meanwhile has it too.
    fn settle(&self, name: &str, base: u64, value: Option<&[u8]>) -> Result<(), Error> {
        let Some(register) = register::open(&self.registers, name)? else {
            return Ok(());
        };
        while let Some(state) = register.read()? {
            let done = match state {
                State::Plain => register.step(None, base, value)?,
                // It began with this.
                State::Decided(current) if current.record.base == base => true,
                State::Decided(current) => {
                    register.step(Some(current.pointer), current.record.base, value)?
                }
            };
            if done {
                // The register decides from now on.
                return self.values.remove(name);
            }
        }
        Ok(())
    }

    /// Every key.
    pub fn list_keys(&self) -> Result<Vec<String>, Error> {
        leftovers::remove(&self.new)?;
        let files = self.values.names()?;
        let mut keys: Vec<String> = files.iter().filter_map(|name| names::key(name)).collect();
        for name in self.registers.names()? {
            let (Some(key), Some(register)) =
                (names::key(&name), register::open(&self.registers, &name)?)
            else {
                continue;
            };
            if let Some(present) = register.says_present()? {
                keys.retain(|other| *other != key);
                if present {
                    keys.push(key);
                }
            }
        }
        Ok(keys)
    }

    /// Adds `delta` to the number at `key`.
    pub fn increment(&self, key: &str, delta: i64) -> Result<i64, Error> {
        let name = names::file(key);
        loop {
            let register = self.register(&name)?;
            let seen = self.look(key)?;
            let sum = sum(key, seen.value.as_deref(), delta)?;
            if self.step(&register, &name, &seen, sum.to_string().as_bytes())? {
                return Ok(sum);
            }
        }
    }

    /// Sets `key` if it is still what was seen; says whether it did.
    pub fn swap(&self, key: &str, seen: &Seen, value: &[u8]) -> Result<bool, Error> {
        let name = names::file(key);
        let register = self.register(&name)?;
        // What was read before there was a register may have changed before there was one.
        if let Place::Plain(id) = seen.place {
            let now = self.look(key)?;
            if !matches!(now.place, Place::Plain(other) if other == id) {
                return Ok(false);
            }
        }
        self.step(&register, &name, seen, value)
    }

    fn step(
        &self,
        register: &Register<'_>,
        name: &str,
        seen: &Seen,
        value: &[u8],
    ) -> Result<bool, Error> {
        let (from, base) = match seen.place {
            Place::Register(pointer, base) => (Some(pointer), base),
            Place::Plain(id) => (None, id),
        };
        let stepped = register.step(from, base, Some(value))?;
        if stepped && from.is_none() {
            // The register decides from now on.
            self.values.remove(name)?;
        }
        Ok(stepped)
    }

    /// The register of a key, made where there is none.
    fn register(&self, name: &str) -> Result<Register<'_>, Error> {
        loop {
            if let Some(register) = register::open(&self.registers, name)?
                && register.exists()?
            {
                return Ok(register);
            }
            register::make(&self.registers, &self.new, name)?;
        }
    }
}

/// A number lies in the store as its decimal text.
fn sum(key: &str, current: Option<&[u8]>, delta: i64) -> Result<i64, Error> {
    let number = match current {
        None => Some(0),
        Some(text) => str::from_utf8(text).ok().and_then(|text| text.parse().ok()),
    };
    let sum = number.and_then(|number: i64| number.checked_add(delta));
    sum.ok_or_else(|| {
        let text = [
            "the value of ",
            key,
            " is no number, or would be too large for one",
        ];
        Error::Other(text.concat())
    })
}
