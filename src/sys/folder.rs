//! A folder that is held open, and what lies in it, by one name each: no link is followed on the way, whoever may
//! write there.
//!
//! Called by the spool for all that it opens, makes, moves and removes. A name of one part below a descriptor needs no
//! RESOLVE_BENEATH: O_NOFOLLOW says the same of it, on every system.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, renameat};
use nix::sys::stat::{Mode, SFlag, fstatat, mkdirat};
use nix::unistd::{AccessFlags, UnlinkatFlags, faccessat, fchownat, linkat, mkfifoat, unlinkat};

use super::files::{no_file, regular};
use super::moves::{self, Spot};
use super::nameless;
use super::owner::Rights;

/// Held open without a right to read it: names are looked up below it, wherever its path leads meanwhile.
#[derive(Debug)]
pub(crate) struct Folder {
    file: File,
    rights: Rights,
}

/// What the spool keeps of a name without opening the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stat {
    pub(crate) is_file: bool,
    pub(crate) size: u64,
    /// Seconds since 1970.
    pub(crate) mtime: i64,
    /// Something was done to it after it was last written: it was linked, or given a time or a mode.
    pub(crate) is_finished: bool,
}

const HELD: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);
/// For all that is opened below: it never waits, and is never somewhere else.
const GUARDED: OFlag =
    OFlag::O_NOFOLLOW.union(OFlag::O_NONBLOCK).union(OFlag::O_NOCTTY).union(OFlag::O_CLOEXEC);

impl Folder {
    /// Opens a folder whose path an administrator chose, links on the way included.
    ///
    /// Root uses what is in it with the rights of its owner.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::from(open(path, HELD, Mode::empty())?);
        let rights = Rights::of(&file.metadata()?)?;
        Ok(Self { file, rights })
    }

    /// Opens a folder in this one; the rights are those of whoever owns this one, or else that one.
    ///
    /// # Errors
    /// What has the name is a link, or no folder.
    pub(crate) fn folder(&self, name: &str) -> io::Result<Self> {
        let file = self.open_at(name.as_ref(), HELD | OFlag::O_NOFOLLOW, 0);
        let file = file.map_err(|error| match self.stat(name) {
            Ok(meta) if meta.is_symlink() => io::Error::other("it is a symbolic link"),
            Ok(meta) if !meta.is_dir() => io::ErrorKind::NotADirectory.into(),
            _ => error,
        })?;
        let rights = self.rights.or(&file.metadata()?)?;
        Ok(Self { file, rights })
    }

    /// Makes a folder.
    pub(crate) fn make(&self, name: &str, mode: u32) -> io::Result<()> {
        let _acting = self.rights.act()?;
        Ok(mkdirat(&self.file, name, Mode::from_bits_truncate(mode))?)
    }

    /// Opens a file for reading.
    pub(crate) fn read(&self, name: impl AsRef<OsStr>) -> io::Result<File> {
        self.open_file(name.as_ref(), OFlag::O_RDONLY, 0)
    }

    /// Opens a file for reading, and for writing at its end; makes it where there is a mode.
    pub(crate) fn append(&self, name: impl AsRef<OsStr>, mode: Option<u32>) -> io::Result<File> {
        let make = if mode.is_some() { OFlag::O_CREAT } else { OFlag::empty() };
        self.open_file(
            name.as_ref(),
            OFlag::O_RDWR | OFlag::O_APPEND | make,
            mode.unwrap_or_default(),
        )
    }

    /// Makes a file for writing, where nothing has the name.
    pub(crate) fn create(&self, name: impl AsRef<OsStr>, mode: u32) -> io::Result<File> {
        self.open_file(name.as_ref(), OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL, mode)
    }

    /// Makes a file without a name for writing; `None` where the system or the file system has no such files, and for
    /// an error, which an attempt with a name will meet too.
    pub(crate) fn create_nameless(&self, mode: u32) -> Option<File> {
        let flag = nameless::O_TMPFILE.filter(|_| nameless::can_name_files())?;
        self.open_at(".".as_ref(), OFlag::O_WRONLY | OFlag::O_CLOEXEC | flag, mode).ok()
    }

    /// Makes a FIFO, as far as the umask lets it one that anyone may write to and its owner may read.
    pub(crate) fn make_fifo(&self, name: &str) -> io::Result<()> {
        let _acting = self.rights.act()?;
        Ok(mkfifoat(&self.file, name, Mode::from_bits_truncate(0o622))?)
    }

    /// Opens a FIFO for writing, or for both; an error for anything else, and where nobody reads it.
    pub(crate) fn open_fifo(&self, name: &str, both: bool) -> io::Result<File> {
        let access = if both { OFlag::O_RDWR } else { OFlag::O_WRONLY };
        let file = self.open_at(name.as_ref(), access | GUARDED, 0)?;
        let is_fifo = file.metadata()?.file_type().is_fifo();
        if is_fifo { Ok(file) } else { Err(io::Error::other("it is not a FIFO")) }
    }

    /// All that the system knows of what has the name, which may be a link.
    pub(crate) fn stat(&self, name: impl AsRef<OsStr>) -> io::Result<Metadata> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        self.open_at(name.as_ref(), flags, 0)?.metadata()
    }

    /// The little of it that costs one call, for a look at a whole queue.
    pub(crate) fn glance(&self, name: impl AsRef<OsStr>) -> io::Result<Stat> {
        let _acting = self.rights.act()?;
        let stat = fstatat(&self.file, plain(name.as_ref())?, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
        Ok(Stat {
            is_file: kind == SFlag::S_IFREG,
            size: stat.st_size.try_into().unwrap_or(0),
            mtime: stat.st_mtime,
            is_finished: (stat.st_ctime, stat.st_ctime_nsec) > (stat.st_mtime, stat.st_mtime_nsec),
        })
    }

    /// Whether anything has the name. What cannot be seen is not known to have it.
    pub(crate) fn has(&self, name: impl AsRef<OsStr>) -> bool {
        self.glance(name).is_ok()
    }

    /// What is known of the folder itself.
    pub(crate) fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// The names in it, in no order.
    pub(crate) fn names(&self) -> io::Result<impl Iterator<Item = io::Result<OsString>> + use<>> {
        let _acting = self.rights.act()?;
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let names = Dir::openat(&self.file, ".", flags, Mode::empty())?.into_iter();
        Ok(names.filter_map(|entry| match entry {
            Ok(entry) => {
                let name = OsStr::from_bytes(entry.file_name().to_bytes());
                (name != "." && name != "..").then(|| Ok(name.to_owned()))
            }
            Err(error) => Some(Err(error.into())),
        }))
    }

    /// Gives a file in this folder a second name in another; fails rather than take somebody's.
    pub(crate) fn link(&self, name: &str, to: &Self, new: &str) -> io::Result<()> {
        let _acting = to.rights.act()?;
        Ok(linkat(&self.file, plain(name.as_ref())?, &to.file, new, AtFlags::empty())?)
    }

    /// Gives a file without a name one in this folder; fails rather than take somebody's.
    pub(crate) fn name_file(&self, file: &File, name: &str) -> io::Result<()> {
        let _acting = self.rights.act()?;
        nameless::name_file(file, &self.file, plain(name.as_ref())?)
    }

    /// Moves what has the name into another folder; `AlreadyExists` rather than replace what has the new one.
    pub(crate) fn move_to(&self, name: &str, to: &Self, new: &str) -> io::Result<()> {
        let _acting = to.rights.act()?;
        let from = Spot { folder: &self.file, name: plain(name.as_ref())? };
        moves::move_at(from, Spot { folder: &to.file, name: plain(new.as_ref())? })
    }

    /// Moves a file into another folder, in the place of what has the new name there.
    pub(crate) fn replace(&self, name: &str, to: &Self, new: &str) -> io::Result<()> {
        let _acting = to.rights.act()?;
        Ok(renameat(&self.file, plain(name.as_ref())?, &to.file, plain(new.as_ref())?)?)
    }

    /// Removes a name that is no folder's.
    pub(crate) fn remove(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        let _acting = self.rights.act()?;
        Ok(unlinkat(&self.file, plain(name.as_ref())?, UnlinkatFlags::NoRemoveDir)?)
    }

    /// An error unless we may make and remove names in it.
    pub(crate) fn check_writable(&self) -> io::Result<()> {
        let _acting = self.rights.act()?;
        let wanted = AccessFlags::W_OK | AccessFlags::X_OK;
        Ok(faccessat(&self.file, ".", wanted, AtFlags::AT_EACCESS)?)
    }

    /// Makes names in it durable. A file system that cannot sync a folder is no error; a folder that cannot be opened
    /// is one, for nothing is durable then.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        match self.open_at(".".as_ref(), flags, 0)?.sync_all() {
            Err(error) if !is_no_sync(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Gives the folder itself away.
    pub(crate) fn give_to(&self, uid: u32, gid: u32) -> io::Result<()> {
        let (uid, gid) = (Some(uid.into()), Some(gid.into()));
        Ok(fchownat(&self.file, "", uid, gid, AtFlags::AT_EMPTY_PATH)?)
    }

    /// Whose rights are used here, where they are not those of this process.
    pub(crate) fn acts_as(&self) -> Option<u32> {
        self.rights.uid()
    }

    fn open_file(&self, name: &OsStr, access: OFlag, mode: u32) -> io::Result<File> {
        self.open_at(name, access | GUARDED, mode).map_err(no_file).and_then(regular)
    }

    fn open_at(&self, name: &OsStr, flags: OFlag, mode: u32) -> io::Result<File> {
        let _acting = self.rights.act()?;
        let mode = Mode::from_bits_truncate(mode);
        let opened: OwnedFd = openat(&self.file, plain(name)?, flags, mode)?;
        Ok(opened.into())
    }
}

/// The name, unless it leads to another folder.
fn plain(name: &OsStr) -> io::Result<&OsStr> {
    match name.as_bytes() {
        b"" | b".." => Err(io::ErrorKind::InvalidInput.into()),
        bytes if bytes.contains(&b'/') => Err(io::ErrorKind::InvalidInput.into()),
        _ => Ok(name),
    }
}

fn is_no_sync(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    error.kind() == io::ErrorKind::Unsupported
        || matches!(errno, Some(Errno::EBADF | Errno::EINVAL))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};

    use super::*;

    #[test]
    fn nothing_is_reached_by_a_name_that_leads_out_of_the_folder_or_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir_all(path("folder/inner")).unwrap();
        fs::write(path("file"), "precious").unwrap();
        for (name, leads) in [("link", "../file"), ("out", ".."), ("inside", "inner")] {
            symlink(leads, path("folder").join(name)).unwrap();
        }
        let folder = Folder::open(&path("folder")).unwrap();
        let inner = folder.folder("inner").unwrap();
        for name in ["", "..", "../file", "inner/../../file", "link", "out/file"] {
            assert!(folder.read(name).is_err(), "{name}");
            assert!(folder.append(name, Some(0o600)).is_err(), "{name}");
            assert!(folder.create(name, 0o600).is_err(), "{name}");
        }
        for name in ["..", "out", "inside", "link", "inner/.."] {
            assert!(folder.folder(name).is_err(), "{name}");
        }
        assert!(folder.move_to("../file", &inner, "x").is_err());
        assert!(folder.link("../file", &inner, "x").is_err());
        assert_eq!(fs::read(path("file")).unwrap(), b"precious");
    }

    #[test]
    fn root_has_the_rights_of_the_owner_in_a_folder_and_its_own_outside() {
        let dir = tempfile::tempdir().unwrap();
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        chown(dir.path(), Some(65533), Some(65533)).unwrap();
        fs::write(dir.path().join("closed"), "").unwrap();
        fs::set_permissions(dir.path().join("closed"), fs::Permissions::from_mode(0o600)).unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        assert_eq!(folder.acts_as(), Some(65533));
        assert_eq!(folder.read("closed").unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        let made = folder.create("made", 0o600).unwrap().metadata().unwrap();
        assert_eq!((made.uid(), made.gid()), (65533, 65533));
        // Back to what it was.
        assert_eq!(fs::read(dir.path().join("closed")).unwrap(), b"");
        fs::write(dir.path().join("own"), "").unwrap();
        assert_eq!(dir.path().join("own").metadata().unwrap().uid(), 0);
    }
}
