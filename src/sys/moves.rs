//! Moves files without replacing any.

use std::ffi::OsStr;
use std::fs::File;
use std::io;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, renameat};
use nix::sys::stat::{Mode, SFlag, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};

/// A name in a folder that is held open.
#[derive(Clone, Copy)]
pub(super) struct Spot<'a> {
    pub(super) folder: &'a File,
    pub(super) name: &'a OsStr,
}

/// rename(2) that fails with `AlreadyExists` rather than replace what has the new name.
pub(super) fn move_at(from: Spot<'_>, to: Spot<'_>) -> io::Result<()> {
    match rename_no_replace(from, to) {
        // Neither every file system nor every C library has it.
        Err(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP) => Ok(move_slowly(from, to)?),
        done => Ok(done?),
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn rename_no_replace(from: Spot<'_>, to: Spot<'_>) -> nix::Result<()> {
    use nix::fcntl::{RenameFlags, renameat2};
    renameat2(from.folder, from.name, to.folder, to.name, RenameFlags::RENAME_NOREPLACE)
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn rename_no_replace(_: Spot<'_>, _: Spot<'_>) -> nix::Result<()> {
    Err(Errno::ENOSYS)
}

fn move_slowly(from: Spot<'_>, to: Spot<'_>) -> nix::Result<()> {
    let stat = fstatat(from.folder, from.name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR {
        // A folder has no second name, and may take the place of an empty one, which is ours.
        mkdirat(to.folder, to.name, Mode::from_bits_truncate(0o700))?;
        return renameat(from.folder, from.name, to.folder, to.name).inspect_err(|_| {
            let _ = unlinkat(to.folder, to.name, UnlinkatFlags::RemoveDir);
        });
    }
    linkat(from.folder, from.name, to.folder, to.name, AtFlags::empty())?;
    unlinkat(from.folder, from.name, UnlinkatFlags::NoRemoveDir).inspect_err(|_| {
        let _ = unlinkat(to.folder, to.name, UnlinkatFlags::NoRemoveDir);
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    type Move = fn(Spot<'_>, Spot<'_>) -> io::Result<()>;
    const WAYS: [Move; 2] = [move_at, |from, to| Ok(move_slowly(from, to)?)];

    fn go(way: Move, from: &Path, to: &Path) -> io::Result<()> {
        let open = |path: &Path| File::open(path.parent().unwrap()).unwrap();
        let (one, other) = (open(from), open(to));
        way(
            Spot { folder: &one, name: from.file_name().unwrap() },
            Spot { folder: &other, name: to.file_name().unwrap() },
        )
    }

    #[test]
    fn nothing_that_has_the_name_is_replaced() {
        for way in WAYS {
            let dir = tempfile::tempdir().unwrap();
            let path = |name: &str| dir.path().join(name);
            let (file, folder, link) = (path("file"), path("folder"), path("link"));
            fs::write(&file, "one").unwrap();
            fs::create_dir(&folder).unwrap();
            std::os::unix::fs::symlink("nowhere", &link).unwrap();
            let all = [&file, &folder, &link];
            for (from, to) in all.into_iter().flat_map(|from| all.map(|to| (from, to))) {
                if from != to {
                    assert_eq!(go(way, from, to).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
                }
            }
            assert_eq!(fs::read(&file).unwrap(), b"one");
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
        }
    }

    #[test]
    fn what_is_moved_is_the_same_file_under_one_name() {
        for way in WAYS {
            let dir = tempfile::tempdir().unwrap();
            let path = |name: &str| dir.path().join(name);
            fs::create_dir(path("folder")).unwrap();
            fs::write(path("folder/file"), "one").unwrap();
            std::os::unix::fs::symlink("nowhere", path("link")).unwrap();
            go(way, &path("folder"), &path("moved")).unwrap();
            go(way, &path("moved/file"), &path("file")).unwrap();
            go(way, &path("link"), &path("moved link")).unwrap();
            let mut names: Vec<_> = fs::read_dir(dir.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            assert_eq!(names, ["file", "moved", "moved link"]);
            assert_eq!(fs::read(path("file")).unwrap(), b"one");
        }
    }
}
