//! What a role knows of its own process: folders, clock, zone, caller.

use std::cell::{Cell, RefCell};
use std::ffi::OsStr;
use std::hash::RandomState;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt as _;
#[cfg(target_os = "linux")]
use std::os::unix::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;

use crate::config::{Directories, Logging, Target};
use crate::exit::{Exit, Failure};
use crate::log::{Addresses, Format, Log, Manager, Sink};
use crate::mail::Moment;
use crate::role::Privilege;
use crate::spool::Stamp;
use crate::submit::Submitter;
use crate::sys;

/// An environment variable that is set and not empty; the original takes an empty one for unset.
///
/// A value that is not UTF-8 is replaced where it does not decode.
pub(crate) fn variable(name: &str) -> Option<String> {
    let value = std::env::var_os(name)?.to_string_lossy().into_owned();
    (!value.is_empty()).then_some(value)
}

/// The login name of whoever runs us.
pub(crate) fn login() -> Option<String> {
    sys::user_name(sys::identity().uid)
}

pub(crate) fn directories(privilege: Privilege) -> Directories {
    match privilege {
        Privilege::None => Directories::find(privilege, std::env::vars_os()),
        Privilege::SetUid => Directories::find(privilege, []),
    }
}

/// Seconds since 1970; 0 for a clock that is before it.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

pub(crate) fn stamp() -> Stamp {
    Stamp { seconds: now(), pid: std::process::id() }
}

/// What the Message-Id of a message that is made now is made of.
pub(crate) fn moment() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Moment { seconds: since.as_secs(), micros: since.subsec_micros(), pid: std::process::id() }
}

/// The local time zone, UTC where the system knows none.
///
/// Its rules are in one file. Finding that by way of a list of the whole database, as a library must,
/// would cost more than all the rest of queueing a message.
pub(crate) fn time_zone() -> TimeZone {
    let Some(name) = std::env::var_os("TZ") else { return machine_time_zone() };
    let plain = |name: &&str| {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte);
        name.starts_with(|first: char| first.is_ascii_alphabetic()) && name.bytes().all(letter)
    };
    let in_database = std::env::var_os("TZDIR").is_none();
    name.to_str()
        .filter(|_| in_database)
        .filter(plain)
        .and_then(|name| read_rules(Path::new("/usr/share/zoneinfo").join(name)))
        .or_else(|| TimeZone::try_system().ok())
        .unwrap_or(TimeZone::UTC)
}

/// The machine's time zone, and that of a set-uid process: `$TZ` may name any file.
pub(crate) fn machine_time_zone() -> TimeZone {
    read_rules("/etc/localtime").unwrap_or(TimeZone::UTC)
}

/// No zone has longer rules.
const RULES: u64 = 1 << 20;

fn read_rules(path: impl AsRef<Path>) -> Option<TimeZone> {
    TimeZone::tzif("local", &sys::read_file(path.as_ref(), RULES).ok()?).ok()
}

/// Takes mail in as our caller. `$NULLMAILER_QUEUE` is followed unless we are set-uid; set but
/// empty is as good as unset.
pub(crate) fn submitter(privilege: Privilege) -> Submitter {
    let queue_program = match privilege {
        Privilege::SetUid => None,
        Privilege::None => {
            std::env::var_os("NULLMAILER_QUEUE").filter(|p| !p.is_empty()).map(PathBuf::from)
        }
    };
    Submitter {
        directories: directories(privilege),
        kernel_name: sys::host_name(),
        stamp: stamp(),
        uid: sys::identity().uid,
        queue_program,
    }
}

/// The log as the control files want it; `stdout` is what stands for stdout. One that cannot be opened is an error now, rather than
/// silence later.
pub(crate) fn open_log(submitter: &Submitter, stdout: Box<dyn Write>) -> Result<Log, Failure> {
    let logging = Logging::read(&submitter.directories.control())?;
    let connect = |path: &str| {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        // A log daemon that hangs must not hold up mail.
        socket.set_nonblocking(true)?;
        Ok(socket)
    };
    let open = |path| {
        connect(path).map_err(|error: io::Error| {
            Failure::new(Exit::OsErr, format_args!("cannot log to {path}: {error}"))
        })
    };
    let sink = match logging.target {
        Target::Stdout => Sink::Stream(RefCell::new(stdout)),
        Target::Syslog => {
            let path = "/dev/log";
            Sink::Syslog { socket: open(path)?, path, pid: std::process::id() }
        }
        Target::Journal => Sink::Journal(open("/run/systemd/journal/socket")?),
    };
    Ok(Log {
        sink,
        format: logging.format,
        addresses: logging.addresses,
        ..stream_log(Box::new(io::sink()))
    })
}

/// Whoever wants to be told that we are ready: the socket that `$NOTIFY_SOCKET` names, by a path or, with an @
/// in front, without one.
pub(crate) fn manager() -> Manager {
    let connect = |name: &OsStr| -> io::Result<UnixDatagram> {
        let socket = UnixDatagram::unbound()?;
        match name.as_bytes().strip_prefix(b"@") {
            #[cfg(target_os = "linux")]
            Some(name) => {
                use std::os::linux::net::SocketAddrExt as _;
                socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?;
            }
            _ => socket.connect(name)?,
        }
        socket.set_nonblocking(true)?;
        Ok(socket)
    };
    let named = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty());
    named.and_then(|name| connect(&name).ok()).map_or_else(Manager::default, Manager::new)
}

/// How long the service manager waits for a sign of life before it ends us: sd_watchdog_enabled(3).
pub(crate) fn watchdog() -> Option<Duration> {
    if variable("WATCHDOG_PID").is_some_and(|pid| pid != std::process::id().to_string()) {
        return None;
    }
    let micros = variable("WATCHDOG_USEC")?.parse().ok().filter(|micros| *micros > 0)?;
    Some(Duration::from_micros(micros))
}

/// A log of plain lines, whatever the control files want.
pub(crate) fn stream_log(out: Box<dyn Write>) -> Log {
    Log {
        sink: Sink::Stream(RefCell::new(out)),
        format: Format::default(),
        addresses: Addresses::default(),
        salt: RandomState::new(),
        clock: moment,
        manager: Manager::default(),
        missed: Cell::default(),
    }
}
