//! Files and folders, as `wasi:filesystem` has them.

use alloc::{string::String, vec::Vec};

use crate::{
    bindings::{
        store::Error,
        wasi::{
            clocks::wall_clock,
            filesystem::{
                preopens::get_directories,
                types::{Descriptor, DescriptorFlags, ErrorCode, OpenFlags, PathFlags},
            },
        },
    },
    record,
};

/// The folder of the store, in the one that is open to the component.
const HOME: &str = "mcp-reporter";

/// How much is asked for in one read: more than most events have.
const READ_BYTES: u64 = 64 * 1024;

/// A folder.
pub struct Folder {
    descriptor: Descriptor,
}

/// How a rename went.
#[derive(PartialEq, Eq)]
pub enum Renamed {
    /// It was done.
    Done,
    /// There is nothing of the old name.
    NoSource,
    /// There is a folder of the new name, which is not empty.
    Taken,
}

/// The folder of the store. It is made where it is absent.
pub fn home() -> Result<Folder, Error> {
    let mut open = get_directories();
    let named = |(_, path): &(Descriptor, String)| path.rsplit('/').next() == Some(HOME);
    if let Some(at) = open.iter().position(named) {
        let (descriptor, _) = open.swap_remove(at);
        return Ok(Folder { descriptor });
    }
    let Some((descriptor, _)) = open.into_iter().next() else {
        let text = "the runtime gives the component no folder to keep its events in: \
                    grant it one, to read and to write";
        return Err(Error::Other(String::from(text)));
    };
    Folder { descriptor }.make(HOME)
}

impl Folder {
    /// The folder `name` in this one; none where there is none.
    pub fn folder(&self, name: &str) -> Result<Option<Folder>, Error> {
        let open = |rights| {
            self.descriptor
                .open_at(PathFlags::empty(), name, OpenFlags::DIRECTORY, rights)
        };
        let opened = match open(DescriptorFlags::READ | DescriptorFlags::MUTATE_DIRECTORY) {
            // jco's files do not know the right to change a folder: every open one may be changed.
            Err(ErrorCode::Unsupported) => open(DescriptorFlags::READ),
            opened => opened,
        };
        match opened {
            Ok(descriptor) => Ok(Some(Folder { descriptor })),
            Err(ErrorCode::NoEntry) => Ok(None),
            Err(code) => Err(failed("open the folder", name, code)),
        }
    }

    /// The folder `name` in this one, made where it is absent.
    pub fn make(&self, name: &str) -> Result<Folder, Error> {
        if let Some(folder) = self.folder(name)? {
            return Ok(folder);
        }
        match self.descriptor.create_directory_at(name) {
            // Somebody else made it meanwhile.
            Ok(()) | Err(ErrorCode::Exist) => {}
            Err(code) => return Err(failed("make the folder", name, code)),
        }
        let made = self.folder(name)?;
        made.ok_or_else(|| failed("open the folder", name, ErrorCode::NoEntry))
    }

    /// The names in this folder.
    pub fn names(&self) -> Result<Vec<String>, Error> {
        let failed = |code| failed("list", "a folder", code);
        let entries = self.descriptor.read_directory().map_err(failed)?;
        let mut names = Vec::new();
        loop {
            match entries.read_directory_entry() {
                Ok(Some(entry)) => names.push(entry.name),
                Ok(None) => return Ok(names),
                // It went away while the runtime looked at it.
                Err(ErrorCode::NoEntry) => {}
                Err(code) => return Err(failed(code)),
            }
        }
    }

    /// The bytes of the file `name`; none where there is none.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let file = self.descriptor.open_at(
            PathFlags::empty(),
            name,
            OpenFlags::empty(),
            DescriptorFlags::READ,
        );
        let file = match file {
            Ok(file) => file,
            Err(ErrorCode::NoEntry) => return Ok(None),
            Err(code) => return Err(failed("open", name, code)),
        };
        let mut bytes = Vec::new();
        loop {
            let (mut more, end) = file
                .read(READ_BYTES, bytes.len() as u64)
                .map_err(|code| failed("read", name, code))?;
            let over = end || more.is_empty();
            if bytes.is_empty() {
                bytes = more;
            } else {
                bytes.append(&mut more);
            }
            // The head says how long it is, so that the end need not be read.
            if over || record::file_bytes(&bytes) == Some(bytes.len() as u64) {
                return Ok(Some(bytes));
            }
        }
    }

    /// Writes a new file.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let failed = |code| failed("write", name, code);
        let file = self.descriptor.open_at(
            PathFlags::empty(),
            name,
            OpenFlags::CREATE | OpenFlags::EXCLUSIVE,
            DescriptorFlags::WRITE,
        );
        let file = file.map_err(failed)?;
        let mut written = 0;
        while let Some(rest) = bytes.get(written..)
            && !rest.is_empty()
        {
            let count = file.write(rest, written as u64).map_err(failed)?;
            if count == 0 {
                return Err(failed(ErrorCode::InsufficientSpace));
            }
            written += count as usize;
        }
        Ok(())
    }

    /// Renames `name` to `new_name` in the folder `to`, over whatever file is there.
    pub fn rename(&self, name: &str, to: &Folder, new_name: &str) -> Result<Renamed, Error> {
        match self.descriptor.rename_at(name, &to.descriptor, new_name) {
            Ok(()) => Ok(Renamed::Done),
            Err(ErrorCode::NoEntry) => Ok(Renamed::NoSource),
            Err(ErrorCode::Exist | ErrorCode::NotEmpty) => Ok(Renamed::Taken),
            Err(code) => Err(failed("rename to", new_name, code)),
        }
    }

    /// Removes the file `name`; an absent one is no error.
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        match self.descriptor.unlink_file_at(name) {
            Ok(()) | Err(ErrorCode::NoEntry) => Ok(()),
            Err(code) => Err(failed("remove", name, code)),
        }
    }

    /// Removes the folder `name` if it is empty; says whether it is gone.
    pub fn remove_folder(&self, name: &str) -> Result<bool, Error> {
        match self.descriptor.remove_directory_at(name) {
            Ok(()) | Err(ErrorCode::NoEntry) => Ok(true),
            Err(ErrorCode::NotEmpty | ErrorCode::Exist) => Ok(false),
            Err(code) => Err(failed("remove the folder", name, code)),
        }
    }

    /// For how long `name` has not been written to, in seconds; none when that is unknown.
    pub fn age_s(&self, name: &str) -> Option<u64> {
        let stat = self.descriptor.stat_at(PathFlags::empty(), name).ok()?;
        let written = stat.data_modification_timestamp?;
        wall_clock::now().seconds.checked_sub(written.seconds)
    }
}

fn failed(doing: &str, name: &str, code: ErrorCode) -> Error {
    let text = ["cannot ", doing, " ", name, " of the store: ", code.name()];
    Error::Other(text.concat())
}
