//! A look at the queue for mailq: it takes what is there as it is, and changes nothing.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use super::{Error, OddName, QueueId, Spool};

/// A name in `queue/`, whether or not it is a message.
pub(crate) struct Listed {
    /// Bytes of the whole file; `None` if the system does not tell.
    pub(crate) size: Option<u64>,
    /// The first line: the sender, as bytes. `None` if nothing can be read.
    pub(crate) sender: Option<Vec<u8>>,
    lines: Option<BufReader<File>>,
}

/// More than this of a line is no address.
const LONGEST: u64 = 4096;

impl Spool {
    /// The messages in the queue, the oldest name first, and names that no message can have.
    pub(crate) fn list(&self) -> Result<(Vec<QueueId>, Vec<OddName>), Error> {
        let path = self.queue();
        let (mut ids, mut odd) = (Vec::new(), Vec::new());
        let names = self.queue_folder().and_then(|queue| queue.names());
        for name in names.map_err(Error::at("read", &path))? {
            let name = name.map_err(Error::at("read", &path))?;
            ids.extend(QueueId::parse(&name));
            odd.extend(OddName::parse(&name));
        }
        ids.sort_by(|a, b| (a.seconds(), a).cmp(&(b.seconds(), b)));
        odd.sort();
        Ok((ids, odd))
    }

    /// What can be seen of one of them; `None` when it has gone meanwhile.
    pub(crate) fn look(&self, id: &QueueId) -> Option<Listed> {
        let queue = self.queue_folder().ok()?;
        let size = match queue.glance(id.as_str()) {
            Ok(file) => Some(file.size),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(_) => None,
        };
        let mut lines = queue.read(id.as_str()).ok().map(BufReader::new);
        let sender = lines.as_mut().and_then(next_line);
        Some(Listed { size, sender, lines })
    }
}

impl Listed {
    /// The recipients: the lines up to the first empty one.
    pub(crate) fn recipients(self) -> impl Iterator<Item = Vec<u8>> {
        let mut lines = self.lines;
        std::iter::from_fn(move || next_line(lines.as_mut()?).filter(|line| !line.is_empty()))
    }
}

fn next_line(lines: &mut BufReader<File>) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    lines.take(LONGEST).read_until(b'\n', &mut line).ok().filter(|length| *length > 0)?;
    line.pop_if(|last| *last == b'\n');
    Some(line)
}
