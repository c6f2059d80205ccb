//! mailq(1): lists the queue, in exactly the original's lines.
//!
//! A recipient that was served, or bounced, is not listed any more.
//!
//! May be set-uid, and then looks at no environment. Like the original it takes no options and
//! ignores what it is given.

use std::io::{self, BufWriter, Write};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{complain, process};
use crate::exit::{Exit, Failure};
use crate::mail::{Address, Printable};
use crate::role::{Call, Privilege};
use crate::spool::{QueueId, Spool};

pub(crate) fn run(call: Call) -> Result<Exit, Failure> {
    let spool = Spool::at(&process::directories(call.privilege).spool)?;
    let zone = match call.privilege {
        Privilege::None => process::time_zone(),
        Privilege::SetUid => process::machine_time_zone(),
    };
    let (ids, odd) = spool.list()?;
    let mut out = BufWriter::new(io::stdout().lock());
    let written = ids.iter().try_for_each(|id| list(&mut out, &spool, id, &zone));
    let written = written.and_then(|()| out.flush());
    for name in odd {
        complain(&call.name, &format_args!("cannot list {name}"));
    }
    match written {
        // A reader that has seen enough, as in `mailq | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Ok),
        Err(error) => Err(Failure::new(Exit::IoErr, format!("cannot write the list: {error}"))),
        Ok(()) => Ok(Exit::Ok),
    }
}

/// ```text
/// YYYY-MM-DD HH:MM:SS SIZE bytes from <SENDER>
///   to <RECIPIENT>
/// ```
fn list(out: &mut impl Write, spool: &Spool, id: &QueueId, zone: &TimeZone) -> io::Result<()> {
    let Some(found) = spool.look(id) else { return Ok(()) };
    let time = Timestamp::from_second(id.seconds()).unwrap_or_default().to_zoned(zone.clone());
    write!(out, "{} {} ", time.date(), time.time())?;
    match found.size {
        Some(size) => write!(out, "{size} bytes")?,
        None => write!(out, "????? bytes")?,
    }
    if let Some(sender) = &found.sender {
        write!(out, " from <{}>", Printable(&String::from_utf8_lossy(sender)))?;
    }
    writeln!(out)?;
    // A journal that cannot be read hides nobody.
    let history = spool.history(id).unwrap_or_default();
    let served = |line: &[u8]| Address::parse(line).is_ok_and(|one| !history.is_pending(&one));
    for recipient in found.recipients().filter(|line| !served(line)) {
        writeln!(out, "  to <{}>", Printable(&String::from_utf8_lossy(&recipient)))?;
    }
    Ok(())
}
