//! A register: a key's folder in `swapped/`, where compare-and-swap happens by renaming.
//!
//! A register holds one pointer, an empty file, and the files with values:
//!
//! | name | |
//! | --- | --- |
//! | `p` | the pointer while `values/<key>` still decides |
//! | `v.<previous>.<number>` | the pointer to the value in `<previous>.<number>` |
//! | `g.<previous>.<number>` | the pointer when the value is gone; a file `<previous>.<number>` is there all the same |
//! | `<previous>.<number>` | a [`Record`]: what comes, or came, after the pointer to `previous` |
//!
//! A step writes the next file and renames the pointer. Both names hold random numbers, so a pointer
//! that was moved on never has its old name again. A register appears as a whole, with the pointer
//! `p`, by the rename of a folder made in `new/`, and never goes away; an empty folder, which only
//! the removal of leftovers can make, counts as none.
//!
//! **From `values/` to the register.** Whoever makes the first step reads `values/<key>` while the
//! pointer is `p`, and its file carries that value's number as `base`, which all later files repeat.
//! A `set` or `delete` that knows of no register changes `values/<key>` first and then looks for
//! one. If it finds a pointer that has left `p`, the base tells whether the first step saw what it
//! did: then nothing is missing; otherwise it makes a step of its own. If it finds `p`, it makes the
//! first step itself, so that whoever read the earlier value fails.

use alloc::{string::String, vec::Vec};

use crate::{
    bindings::{store::Error, wasi::random::random::get_random_u64},
    folder::{Folder, Renamed},
    names::{hex, number},
    record::{self, Record},
};

/// The pointer while `values/<key>` decides.
const PLAIN: &str = "p";

/// How many names a register has before somebody looks for leftovers: more than there are while a
/// few instances are at work.
const MANY_NAMES: usize = 12;

/// How often a register is read again because it changed meanwhile: more often than instances can
/// be in each other's way.
const MOST_READS: usize = 10_000;

/// A register.
pub struct Register<'a> {
    registers: &'a Folder,
    name: String,
    folder: Folder,
}

/// What a register says.
pub enum State {
    /// `values/<key>` decides.
    Plain,
    /// It holds this value, or that there is none.
    Decided(Current),
}

/// The value of a register.
pub struct Current {
    /// By which name it is pointed to.
    pub pointer: Pointer,
    /// The value; empty when it is gone.
    pub record: Record,
}

/// The name of a pointer that has left `p`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pointer {
    gone: bool,
    previous: u64,
    id: u64,
}

impl Pointer {
    fn parse(name: &str) -> Option<Self> {
        let (kind, file) = name.split_once('.')?;
        let gone = match kind {
            "v" => false,
            "g" => true,
            _ => return None,
        };
        let (previous, id) = numbers(file)?;
        Some(Self { gone, previous, id })
    }

    fn name(self) -> String {
        let kind = if self.gone { "g." } else { "v." };
        [kind, &self.file()].concat()
    }

    fn file(self) -> String {
        file(self.previous, self.id)
    }

    /// Whether there is no value.
    pub fn is_gone(self) -> bool {
        self.gone
    }
}

fn file(previous: u64, id: u64) -> String {
    [&*hex(previous), ".", &hex(id)].concat()
}

fn numbers(file: &str) -> Option<(u64, u64)> {
    let (previous, id) = file.split_once('.')?;
    Some((number(previous)?, number(id)?))
}

/// Opens the register `name`; none where there is none.
pub fn open<'a>(registers: &'a Folder, name: &str) -> Result<Option<Register<'a>>, Error> {
    let folder = registers.folder(name)?;
    Ok(folder.map(|folder| Register {
        registers,
        name: String::from(name),
        folder,
    }))
}

/// Makes the register `name`, unless somebody did.
pub fn make(registers: &Folder, new: &Folder, name: &str) -> Result<(), Error> {
    let draft = hex(get_random_u64());
    new.make(&draft)?.write(PLAIN, b"")?;
    if new.rename(&draft, registers, name)? == Renamed::Taken {
        discard(new, &draft)?;
    }
    Ok(())
}

/// Removes a register that never came into its place.
pub fn discard(new: &Folder, draft: &str) -> Result<(), Error> {
    if let Some(folder) = new.folder(draft)? {
        folder.remove(PLAIN)?;
        // What stays is looked at again later.
        new.remove_folder(draft)?;
    }
    Ok(())
}

impl Register<'_> {
    /// Whether it is one: an empty folder is none.
    pub fn exists(&self) -> Result<bool, Error> {
        Ok(self.pointer()?.is_some())
    }

    /// The pointer (none inside for `p`) and how many names there are; none when this is no
    /// register.
    fn pointer(&self) -> Result<Option<(Option<Pointer>, usize)>, Error> {
        for _ in 0..MOST_READS {
            let names = self.folder.names()?;
            // An empty listing proves nothing: it may have missed a pointer that was renamed. Only
            // a folder that is empty can be removed.
            if names.is_empty() && self.registers.remove_folder(&self.name)? {
                return Ok(None);
            }
            // A listing may show a pointer under both names while it is renamed, or under none.
            // The new one is as good as the old one, which was right when the listing began.
            if let Some(pointer) = names.iter().find_map(|name| Pointer::parse(name)) {
                return Ok(Some((Some(pointer), names.len())));
            }
            if names.iter().any(|name| name == PLAIN) {
                return Ok(Some((None, names.len())));
            }
        }
        let text = "a register of the store has no pointer: its folder was changed by hand";
        Err(Error::Other(String::from(text)))
    }

    /// Whether the register says that there is a value; none when it leaves that to `values/`.
    pub fn says_present(&self) -> Result<Option<bool>, Error> {
        let pointer = self.pointer()?.and_then(|(pointer, _)| pointer);
        Ok(pointer.map(|pointer| !pointer.is_gone()))
    }

    /// What it says; none when it is none after all.
    pub fn read(&self) -> Result<Option<State>, Error> {
        for _ in 0..MOST_READS {
            let Some((pointer, names)) = self.pointer()? else {
                return Ok(None);
            };
            let Some(pointer) = pointer else {
                return Ok(Some(State::Plain));
            };
            // Absent when it was moved on meanwhile.
            if let Some(bytes) = self.folder.read(&pointer.file())? {
                if names > MANY_NAMES {
                    self.clean()?;
                }
                let record = record::decode(bytes);
                return Ok(Some(State::Decided(Current { pointer, record })));
            }
        }
        let text = "a register of the store points to a value that is not there";
        Err(Error::Other(String::from(text)))
    }

    /// Moves the pointer from `from` (none: from `values/`) to a new value, or to none, if it is
    /// still there; says whether it was.
    pub fn step(
        &self,
        from: Option<Pointer>,
        base: u64,
        value: Option<&[u8]>,
    ) -> Result<bool, Error> {
        let next = Pointer {
            gone: value.is_none(),
            previous: from.map_or(0, |pointer| pointer.id),
            id: get_random_u64(),
        };
        let bytes = record::encode(next.id, base, value.unwrap_or_default());
        self.folder.write(&next.file(), &bytes)?;
        let name = from.map_or(String::from(PLAIN), Pointer::name);
        if self.folder.rename(&name, &self.folder, &next.name())? != Renamed::Done {
            self.folder.remove(&next.file())?;
            return Ok(false);
        }
        if let Some(from) = from {
            self.folder.remove(&from.file())?;
        }
        Ok(true)
    }

    /// Removes values that nothing points to nor ever will.
    fn clean(&self) -> Result<(), Error> {
        let names = self.folder.names()?;
        let files: Vec<_> = names.iter().filter_map(|name| numbers(name)).collect();
        // The pointer is read after the files. A file that follows an earlier pointer has missed
        // its turn: it was written after that pointer was read, and that one never comes back.
        let names = self.folder.names()?;
        let mut pointers = names.iter().filter_map(|name| Pointer::parse(name));
        let (Some(pointer), None) = (pointers.next(), pointers.next()) else {
            return Ok(());
        };
        for (previous, id) in files {
            if id != pointer.id && previous != pointer.id {
                self.folder.remove(&file(previous, id))?;
            }
        }
        Ok(())
    }
}
