//! `wasi:keyvalue` on a folder, for runtimes that give a component files and no key-value store.
//!
//! Everything lies in `mcp-reporter/` in the first directory that is open to the component, or in
//! the one that is itself called `mcp-reporter`, if there is one:
//!
//! | folder | holds |
//! | --- | --- |
//! | `values/<key>` | a value that was set |
//! | `swapped/<key>/` | the *register* of a key that was ever swapped or incremented; it decides over `values/<key>` |
//! | `new/` | what is being written |
//!
//! Several instances, in several processes, may use one folder at once. There are no locks, so
//! none that could be left over: a process may be killed at any moment.
//!
//! - A value is written to `new/` and renamed to its place, so that it is there as a whole or not
//!   at all.
//! - A register is a folder with one *pointer*, an empty file whose name says which file beside it
//!   holds the value. Renaming the pointer is the compare-and-swap: whoever comes second finds no
//!   pointer of the name that it knew. A name is never used twice, so a process that was stopped for
//!   as long as one likes cannot overwrite what was swapped meanwhile, whatever was cleaned up.
//!   (Numbered versions, each linked exclusively, have that fault: the number of one that was cleaned
//!   up is free again.) See `register`.
//! - What a killed process left is removed by others, later: see `leftovers`.
//!
//! A value that was acknowledged outlives the process, not a loss of power: nothing is forced to
//! the disk. A file that a loss of power cut short reads as an empty value.
//!
//! `list-keys` reads the folder once: a key that is set while it does may be missing. All keys come
//! at once, there is no cursor. `set-many` and `delete-many` go key by key.

#![no_std]

extern crate alloc;

mod bindings;
mod bucket;
mod folder;
mod leftovers;
mod names;
mod record;
mod register;

use alloc::{rc::Rc, string::String, vec::Vec};
use core::cell::RefCell;

use mcp_reporter_plug_runtime as _;

use bindings::{
    atomics::{self, CasError, GuestCas},
    batch,
    store::{self, BucketBorrow, Error, GuestBucket, KeyResponse},
};
use bucket::{Bucket, Seen};

/// The one bucket there is.
const BUCKET: &str = "default";

/// What the world's exports are implemented on.
struct Component;

/// A handle on the bucket.
struct Handle(Rc<Bucket>);

/// A compare-and-swap that was begun.
struct Cas {
    bucket: Rc<Bucket>,
    key: String,
    seen: RefCell<Seen>,
}

impl store::Guest for Component {
    type Bucket = Handle;

    fn open(identifier: String) -> Result<store::Bucket, Error> {
        if identifier != BUCKET {
            return Err(Error::NoSuchStore);
        }
        Ok(store::Bucket::new(Handle(Rc::new(Bucket::open()?))))
    }
}

impl GuestBucket for Handle {
    fn get(&self, key: String) -> Result<Option<Vec<u8>>, Error> {
        self.0.get(&key)
    }

    fn set(&self, key: String, value: Vec<u8>) -> Result<(), Error> {
        self.0.set(&key, &value)
    }

    fn delete(&self, key: String) -> Result<(), Error> {
        self.0.delete(&key)
    }

    fn exists(&self, key: String) -> Result<bool, Error> {
        Ok(self.0.get(&key)?.is_some())
    }

    fn list_keys(&self, cursor: Option<String>) -> Result<KeyResponse, Error> {
        if cursor.is_some() {
            let text = String::from("all keys come at once: there is no cursor");
            return Err(Error::Other(text));
        }
        let keys = self.0.list_keys()?;
        Ok(KeyResponse { keys, cursor: None })
    }
}

impl batch::Guest for Component {
    fn get_many(
        bucket: BucketBorrow<'_>,
        keys: Vec<String>,
    ) -> Result<Vec<(String, Option<Vec<u8>>)>, Error> {
        let bucket = &bucket.get::<Handle>().0;
        let pairs = keys.into_iter().map(|key| {
            let value = bucket.get(&key)?;
            Ok((key, value))
        });
        pairs.collect()
    }

    fn set_many(bucket: BucketBorrow<'_>, pairs: Vec<(String, Vec<u8>)>) -> Result<(), Error> {
        let bucket = &bucket.get::<Handle>().0;
        let mut pairs = pairs.iter();
        pairs.try_for_each(|(key, value)| bucket.set(key, value))
    }

    fn delete_many(bucket: BucketBorrow<'_>, keys: Vec<String>) -> Result<(), Error> {
        let bucket = &bucket.get::<Handle>().0;
        keys.iter().try_for_each(|key| bucket.delete(key))
    }
}

impl atomics::Guest for Component {
    type Cas = Cas;

    fn increment(bucket: BucketBorrow<'_>, key: String, delta: i64) -> Result<i64, Error> {
        bucket.get::<Handle>().0.increment(&key, delta)
    }

    fn swap(cas: atomics::Cas, value: Vec<u8>) -> Result<(), CasError> {
        let Cas { bucket, key, seen } = cas.into_inner();
        let swapped = bucket.swap(&key, &seen.into_inner(), &value);
        if swapped.map_err(CasError::StoreError)? {
            return Ok(());
        }
        let retry = begin(bucket, key).map_err(CasError::StoreError)?;
        Err(CasError::CasFailed(retry))
    }
}

impl GuestCas for Cas {
    fn new(bucket: BucketBorrow<'_>, key: String) -> Result<atomics::Cas, Error> {
        begin(Rc::clone(&bucket.get::<Handle>().0), key)
    }

    fn current(&self) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.seen.borrow().value.clone())
    }
}

fn begin(bucket: Rc<Bucket>, key: String) -> Result<atomics::Cas, Error> {
    let seen = RefCell::new(bucket.look(&key)?);
    Ok(atomics::Cas::new(Cas { bucket, key, seen }))
}
