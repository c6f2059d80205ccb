//! The command line of sendmail(8) as callers have written it for forty years.
//!
//! By hand: clusters such as `-ti` or `-tfa@b`, values attached or in the next argument, letters
//! that mean something only behind another letter, and many that mean nothing here and must not
//! disturb. Options end at the first argument that is none, as POSIX and the original have it.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use super::super::intake::{Sender, Timing};
use crate::mail::{DeliveryRequest, EnvelopeId, Notify, Quoted, Ret};

/// What was typed.
#[derive(Debug, Default)]
pub(super) struct Typed {
    pub(super) mode: Mode,
    /// `-t`
    pub(super) from_header: bool,
    /// `-i`, `-oi`, `-O IgnoreDots`: a line with a dot is text.
    pub(super) ignore_dots: bool,
    pub(super) sender: Sender,
    /// `-F`
    pub(super) name: Option<String>,
    pub(super) delivery: DeliveryRequest,
    pub(super) timing: Option<Timing>,
    pub(super) recipients: Vec<OsString>,
    /// Settings of sendmail that have no meaning here, for a warning.
    pub(super) unknown_settings: Vec<String>,
}

/// What the call is for. Of several the last one counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    /// `-bm`: queue the message on stdin.
    #[default]
    Message,
    /// `-bp`: print the queue.
    PrintQueue,
    /// `-bs`: speak SMTP on stdin and stdout.
    Smtp,
    /// `-bv`: say what would become of each recipient.
    Verify,
    /// `-bd`: be the daemon.
    Daemon,
    /// `-q`: deliver what is queued now.
    RunQueue,
    /// `-bi` and its like: there is nothing to do.
    Nothing,
    Help,
    Version,
}

/// Why a command line is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Misuse {
    Unknown(String),
    NoValue(char),
    Value { option: char, value: String, wanted: &'static str },
}

/// Reads the command line.
pub(super) fn parse(args: &[OsString]) -> Result<Typed, Misuse> {
    let mut typed = Typed::default();
    let mut rest = args;
    while let [first, after @ ..] = rest {
        match first.as_bytes() {
            // nullmailer: a lone dash ends the options as well.
            b"--" | b"-" => {
                rest = after;
                break;
            }
            [b'-', b'-', name @ ..] => {
                typed.long(name)?;
                rest = after;
            }
            [b'-', cluster @ ..] => rest = typed.cluster(cluster, after)?,
            _ => break,
        }
    }
    typed.recipients = rest.to_vec();
    Ok(typed)
}

impl Typed {
    fn long(&mut self, name: &[u8]) -> Result<(), Misuse> {
        match name {
            b"help" => self.mode = Mode::Help,
            b"version" => self.mode = Mode::Version,
            // nullmailer: two dashes are as good as one before a mode.
            [b'b', mode] => self.mode(&[*mode])?,
            _ => return Err(Misuse::unknown(&[b"-", name].concat())),
        }
        Ok(())
    }

    /// Reads letters up to one that takes the rest as its value, or the first of `after`. Returns
    /// the arguments that are left.
    fn cluster<'a>(
        &mut self,
        cluster: &[u8],
        after: &'a [OsString],
    ) -> Result<&'a [OsString], Misuse> {
        for (at, letter) in cluster.iter().enumerate() {
            let attached = &cluster[at + 1..];
            match letter {
                b't' => self.from_header = true,
                b'i' => self.ignore_dots = true,
                b'I' => self.mode = Mode::Nothing,
                b'4' | b'6' | b'c' | b'G' | b'm' | b'n' | b'U' | b'v' | b'x' => {}
                b'q' => {
                    self.queue_run(attached);
                    return Ok(after);
                }
                // With or without a value, which is attached.
                b'd' | b'D' | b'E' | b'J' | b'M' | b'Q' | b's' | b'T' => return Ok(after),
                b'b' | b'f' | b'r' | b'F' | b'N' | b'R' | b'V' | b'o' | b'O' | b'A' | b'B'
                | b'C' | b'e' | b'h' | b'L' | b'p' | b'X' => {
                    let (value, after) = match (attached, after) {
                        ([], [next, after @ ..]) => (next.as_os_str(), after),
                        ([], []) => return Err(Misuse::NoValue(char::from(*letter))),
                        (attached, after) => (OsStr::from_bytes(attached), after),
                    };
                    self.value(*letter, value)?;
                    return Ok(after);
                }
                _ => return Err(Misuse::unknown(&cluster[at..])),
            }
        }
        Ok(after)
    }

    fn value(&mut self, letter: u8, value: &OsStr) -> Result<(), Misuse> {
        let text = value.to_string_lossy();
        let refused = |wanted| Misuse::Value {
            option: char::from(letter),
            value: text.clone().into_owned(),
            wanted,
        };
        match letter {
            b'b' => self.mode(value.as_bytes())?,
            b'f' | b'r' => self.sender = Sender::Author(value.to_owned()),
            b'F' => self.name = Some(text.into_owned()).filter(|name| !name.is_empty()),
            b'N' => {
                let wanted = "never, or some of success,failure,delay";
                self.delivery.notify = Some(Notify::parse(&text).ok_or_else(|| refused(wanted))?);
            }
            b'R' => {
                self.delivery.ret = Some(Ret::parse(&text).ok_or_else(|| refused("full or hdrs"))?);
            }
            b'V' => {
                let wanted = "1 to 100 printable ASCII characters";
                self.delivery.envelope_id =
                    Some(EnvelopeId::new(&text).ok_or_else(|| refused(wanted))?);
            }
            b'o' => self.short_setting(value.as_bytes()),
            b'O' => self.long_setting(&text),
            _ => {}
        }
        Ok(())
    }

    fn mode(&mut self, mode: &[u8]) -> Result<(), Misuse> {
        self.mode = match mode {
            b"m" | b"a" | b"l" | b"t" => Mode::Message,
            b"p" => Mode::PrintQueue,
            b"s" => Mode::Smtp,
            b"v" => Mode::Verify,
            b"d" | b"D" => Mode::Daemon,
            b"i" | b"h" | b"H" | b"z" => Mode::Nothing,
            _ => return Err(Misuse::unknown(&[b"b", mode].concat())),
        };
        Ok(())
    }

    /// `-q`, `-qIid`, `-qRsubstring` and `-qSsubstring` run the queue; with an interval sendmail
    /// would go on running it, which the daemon does anyway.
    fn queue_run(&mut self, attached: &[u8]) {
        if self.mode == Mode::Message {
            let interval = attached.first().is_some_and(u8::is_ascii_digit);
            self.mode = if interval { Mode::Nothing } else { Mode::RunQueue };
        }
    }

    /// The one-letter settings: `-oi`, `-odb`, `-oem`.
    fn short_setting(&mut self, setting: &[u8]) {
        match setting {
            [b'i', ..] => self.ignore_dots = true,
            [b'd', timing, ..] => self.timing(*timing),
            [letter, ..] if letter.is_ascii_alphanumeric() => {}
            _ => self.unknown_settings.push(format!("-o{}", String::from_utf8_lossy(setting))),
        }
    }

    /// `-O NAME=VALUE`, names in any case.
    fn long_setting(&mut self, setting: &str) {
        let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "ignoredots" => {
                self.ignore_dots = !value.trim_start().starts_with(['f', 'F', 'n', 'N']);
            }
            "deliverymode" => {
                value.trim_start().bytes().next().into_iter().for_each(|mode| self.timing(mode));
            }
            // Errors always go to stderr; SMTPUTF8 is used where the addresses need it.
            "errormode" | "smtputf8" => {}
            _ => self.unknown_settings.push(format!("-O {setting}")),
        }
    }

    fn timing(&mut self, letter: u8) {
        self.timing = Some(match letter {
            b'i' => Timing::Foreground,
            b'q' | b'd' => Timing::NextRun,
            _ => Timing::Background,
        });
    }
}

impl Misuse {
    fn unknown(option: &[u8]) -> Self {
        Self::Unknown(format!("-{}", String::from_utf8_lossy(option)))
    }
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(option) => {
                write!(f, "cannot use option {}: it is not known; try --help", Quoted(option))
            }
            Self::NoValue(option) => write!(f, "cannot use option -{option}: it needs a value"),
            Self::Value { option, value, wanted } => {
                write!(f, "cannot use -{option} {}: write {wanted}", Quoted(value))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(args: &str) -> Result<Typed, Misuse> {
        let words = args.split(' ').filter(|word| !word.is_empty());
        parse(&words.map(|word| if word == "''" { "" } else { word }.into()).collect::<Vec<_>>())
    }

    #[test]
    fn a_value_is_the_rest_of_the_cluster_or_the_next_argument() {
        for args in ["-tifa@b c@d", "-ti -f a@b c@d", "-it -ra@b -- c@d", "-t -fx -oi -f a@b c@d"] {
            let typed = typed(args).unwrap();
            assert!(typed.from_header && typed.ignore_dots, "{args}");
            assert_eq!(typed.sender, Sender::Author("a@b".into()), "{args}");
            assert_eq!(typed.recipients, ["c@d"], "{args}");
        }
        assert_eq!(typed("-f '' a@b").unwrap().sender, Sender::Author("".into()));
        assert_eq!(typed("-f").unwrap_err(), Misuse::NoValue('f'));
    }

    #[test]
    fn what_means_nothing_here_takes_no_more_than_its_own_value() {
        for swallowed in [
            "-Ac",
            "-Am",
            "-B8BITMIME",
            "-B 8BITMIME",
            "-C /x",
            "-d0.1",
            "-d",
            "-D",
            "-E",
            "-em",
            "-ep",
            "-eq",
            "-ew",
            "-ee",
            "-G",
            "-h 3",
            "-J",
            "-L tag",
            "-M",
            "-m",
            "-n",
            "-O TimeOut=1",
            "-oem",
            "-o em",
            "-oA/x",
            "-oQ/y",
            "-p smtp:h",
            "-Q",
            "-s",
            "-T1",
            "-U",
            "-v",
            "-X /log",
            "-bm",
            "-ba",
            "-bl",
            "-bt",
            "-4",
            "-6",
            "-c",
            "-odb",
            "-i",
        ] {
            let typed = typed(&format!("{swallowed} a@b")).unwrap();
            assert_eq!(typed.recipients, ["a@b"], "{swallowed}");
            assert_eq!(typed.mode, Mode::Message, "{swallowed}");
        }
    }

    #[test]
    fn modes_are_told_apart_and_the_last_one_counts() {
        for (args, mode) in [
            ("-bp", Mode::PrintQueue),
            ("-bs", Mode::Smtp),
            ("--bs", Mode::Smtp),
            ("-bs -bm", Mode::Message),
            ("-bv", Mode::Verify),
            ("-bd", Mode::Daemon),
            ("-bD", Mode::Daemon),
            ("-bd -q30m", Mode::Daemon),
            ("-q30m -bd", Mode::Daemon),
            ("-q", Mode::RunQueue),
            ("-qIid", Mode::RunQueue),
            ("-q30m", Mode::Nothing),
            ("-bi", Mode::Nothing),
            ("-I", Mode::Nothing),
            ("-bh", Mode::Nothing),
            ("--help", Mode::Help),
            ("--version", Mode::Version),
        ] {
            assert_eq!(typed(args).unwrap().mode, mode, "{args}");
        }
    }

    #[test]
    fn what_nobody_knows_is_refused_and_named() {
        for (args, option) in
            [("-y", "-y"), ("-tiZ", "-Z"), ("-bx", "-bx"), ("--from=x", "--from=x"), ("-b", "")]
        {
            let misuse = typed(args).unwrap_err().to_string();
            assert!(misuse.contains(option), "{args}: {misuse}");
        }
        for args in ["-N sometimes", "-N never,delay", "-R half", "-V ''"] {
            assert!(matches!(typed(args).unwrap_err(), Misuse::Value { .. }), "{args}");
        }
    }

    #[test]
    fn a_setting_without_meaning_is_remembered_for_a_warning() {
        let typed = typed("-O Foo=1 -O IgnoreDots -O DeliveryMode=i -o? a@b").unwrap();
        assert_eq!(typed.unknown_settings, ["-O Foo=1", "-o?"]);
        assert!(typed.ignore_dots);
        assert_eq!(typed.timing, Some(Timing::Foreground));
    }

    #[test]
    fn what_is_asked_of_delivery_is_carried() {
        let typed = typed("-N success,delay -Rhdrs -V id -odq a@b").unwrap();
        assert_eq!(typed.delivery.to_string(), " NOTIFY=SUCCESS,DELAY RET=HDRS ENVID=id");
        assert_eq!(typed.timing, Some(Timing::NextRun));
    }
}
