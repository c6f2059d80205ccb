//! Moves files without replacing any.

use std::fs;
use std::io;
use std::path::Path;

/// rename(2) that fails with `AlreadyExists` rather than replace what has the new name.
pub(crate) fn move_file(from: &Path, to: &Path) -> io::Result<()> {
    match rename_no_replace(from, to) {
        // Neither every file system nor every C library has it.
        Err(error) if is_unknown(&error) => move_slowly(from, to),
        done => done,
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn rename_no_replace(from: &Path, to: &Path) -> io::Result<()> {
    use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
    Ok(renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE)?)
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn rename_no_replace(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn is_unknown(error: &io::Error) -> bool {
    use nix::libc::{EINVAL, ENOSYS, EOPNOTSUPP};
    error.kind() == io::ErrorKind::Unsupported
        || matches!(error.raw_os_error(), Some(EINVAL | ENOSYS | EOPNOTSUPP))
}

fn move_slowly(from: &Path, to: &Path) -> io::Result<()> {
    if from.symlink_metadata()?.is_dir() {
        // A folder has no second name, and may take the place of an empty one, which is ours.
        fs::create_dir(to)?;
        return fs::rename(from, to).inspect_err(|_| {
            let _ = fs::remove_dir(to);
        });
    }
    fs::hard_link(from, to)?;
    fs::remove_file(from).inspect_err(|_| {
        let _ = fs::remove_file(to);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Move = fn(&Path, &Path) -> io::Result<()>;

    #[test]
    fn nothing_that_has_the_name_is_replaced() {
        for go in [move_file as Move, move_slowly] {
            let dir = tempfile::tempdir().unwrap();
            let path = |name: &str| dir.path().join(name);
            let (file, folder, link) = (path("file"), path("folder"), path("link"));
            fs::write(&file, "one").unwrap();
            fs::create_dir(&folder).unwrap();
            std::os::unix::fs::symlink("nowhere", &link).unwrap();
            let all = [&file, &folder, &link];
            for (from, to) in all.into_iter().flat_map(|from| all.map(|to| (from, to))) {
                if from != to {
                    assert_eq!(go(from, to).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
                }
            }
            assert_eq!(fs::read(&file).unwrap(), b"one");
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
        }
    }

    #[test]
    fn what_is_moved_is_the_same_file_under_one_name() {
        for go in [move_file as Move, move_slowly] {
            let dir = tempfile::tempdir().unwrap();
            let path = |name: &str| dir.path().join(name);
            fs::create_dir(path("folder")).unwrap();
            fs::write(path("folder/file"), "one").unwrap();
            std::os::unix::fs::symlink("nowhere", path("link")).unwrap();
            go(&path("folder"), &path("moved")).unwrap();
            go(&path("moved/file"), &path("file")).unwrap();
            go(&path("link"), &path("moved link")).unwrap();
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
