//! Files and folders that are their owner's alone: how they are made, and how one that is not is
//! told. On systems without permission bits everything passes.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::path::Path;

/// Makes the folder, and those above it that are missing: mode 0700. One that is there stays as
/// it is.
///
/// # Errors
///
/// As [`DirBuilder::create`].
pub fn make_folders(folder: &Path) -> io::Result<()> {
    builder().recursive(true).create(folder)
}

/// Makes the folder, mode 0700, which must be new.
///
/// # Errors
///
/// As [`DirBuilder::create`].
pub fn make_new_folder(folder: &Path) -> io::Result<()> {
    builder().create(folder)
}

/// Makes the file, mode 0600, which must be new.
///
/// # Errors
///
/// As [`OpenOptions::open`].
pub fn make_new_file(path: &Path) -> io::Result<File> {
    options().write(true).create_new(true).open(path)
}

/// Options to open a file with, which is made with mode 0600 if it is made.
#[must_use]
pub fn options() -> OpenOptions {
    #[allow(unused_mut, reason = "elsewhere than on Unix")]
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn builder() -> DirBuilder {
    #[allow(unused_mut, reason = "elsewhere than on Unix")]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

/// The permission bits of a file or folder that others than its owner can write.
#[must_use]
pub fn written_by_others(metadata: &Metadata) -> Option<u32> {
    let mode = mode(metadata);
    (mode & 0o022 != 0).then_some(mode)
}

/// The permission bits of a file that others can write, or of a folder in which they can put
/// another file in the place of one. In a folder with the sticky bit they cannot.
#[must_use]
pub fn replaced_by_others(metadata: &Metadata) -> Option<u32> {
    let sticky_folder = |mode: &u32| metadata.is_dir() && mode & 0o1000 != 0;
    written_by_others(metadata).filter(|mode| !sticky_folder(mode))
}

/// The permission bits of a file that others can read or write, which it is not to be.
#[must_use]
pub fn open_to_others(metadata: &Metadata) -> Option<u32> {
    let mode = mode(metadata);
    (mode & 0o077 != 0).then_some(mode)
}

/// Gives the file mode 0600.
///
/// # Errors
///
/// As [`std::fs::set_permissions`].
pub fn close_to_others(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

#[cfg(unix)]
fn mode(metadata: &Metadata) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o7777
}

#[cfg(not(unix))]
fn mode(_: &Metadata) -> u32 {
    0
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn with_mode(path: &Path, mode: u32) -> Metadata {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        path.metadata().unwrap()
    }

    #[test]
    fn what_is_made_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        make_folders(&inner).unwrap();
        make_folders(&inner).unwrap();
        for made in ["a", "a/b"] {
            assert_eq!(mode(&folder.path().join(made).metadata().unwrap()), 0o700);
        }
        let file = inner.join("file");
        assert_eq!(
            mode(&make_new_file(&file).unwrap().metadata().unwrap()),
            0o600
        );
        assert!(make_new_file(&file).is_err());
        assert!(make_new_folder(&inner).is_err());
        with_mode(&file, 0o644);
        close_to_others(&file).unwrap();
        assert_eq!(mode(&file.metadata().unwrap()), 0o600);
    }

    #[test]
    fn the_sticky_bit_protects_what_is_in_a_folder_and_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        for (mode, written, replaced) in [
            (0o700, false, false),
            (0o755, false, false),
            (0o720, true, true),
            (0o702, true, true),
            (0o1777, true, false),
        ] {
            let metadata = with_mode(folder.path(), mode);
            assert_eq!(written_by_others(&metadata), written.then_some(mode));
            assert_eq!(replaced_by_others(&metadata), replaced.then_some(mode));
        }
        assert_eq!(replaced_by_others(&with_mode(&file, 0o1666)), Some(0o1666));
        assert_eq!(open_to_others(&with_mode(&file, 0o640)), Some(0o640));
        assert_eq!(open_to_others(&with_mode(&file, 0o600)), None);
    }
}
