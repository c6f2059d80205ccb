//! What `sendmail -N -R -V` ask of delivery, in the words of RFC 3461.

use std::fmt;

/// What the sender wants to be told about (RFC 3461 §4.1). Applies to every recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notify {
    Never,
    On { success: bool, failure: bool, delay: bool },
}

/// How much of the message a notification should return (RFC 3461 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ret {
    Full,
    Headers,
}

/// Kept beside the message and passed on to a smarthost with DSN.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeliveryRequest {
    pub(crate) notify: Option<Notify>,
    pub(crate) ret: Option<Ret>,
    pub(crate) envelope_id: Option<EnvelopeId>,
}

/// An envelope id in clear: printable ASCII, at most 100 characters (RFC 3461 §4.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EnvelopeId(Box<str>);

impl Notify {
    /// `never`, or a list of `success`, `failure` and `delay`, in any case.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("never") {
            return Some(Self::Never);
        }
        let (mut success, mut failure, mut delay) = (false, false, false);
        for word in text.split(',') {
            match word.trim().to_ascii_lowercase().as_str() {
                "success" => success = true,
                "failure" => failure = true,
                "delay" => delay = true,
                _ => return None,
            }
        }
        Some(Self::On { success, failure, delay })
    }
}

impl Ret {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "full" => Some(Self::Full),
            "hdrs" => Some(Self::Headers),
            _ => None,
        }
    }
}

impl EnvelopeId {
    pub(crate) fn new(text: &str) -> Option<Self> {
        let fits =
            (1..=100).contains(&text.len()) && text.bytes().all(|b| (b' '..=b'~').contains(&b));
        fits.then(|| Self(text.into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl DeliveryRequest {
    /// Reads what [`fmt::Display`] writes, without the leading blank.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let text = str::from_utf8(bytes).map_err(|_| "a parameter is not UTF-8")?;
        let mut request = Self::default();
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            match word.split_once('=') {
                Some(("NOTIFY", value)) => {
                    request.notify = Some(Notify::parse(value).ok_or("NOTIFY is not known")?);
                }
                Some(("RET", value)) => {
                    request.ret = Some(Ret::parse(value).ok_or("RET is not known")?);
                }
                Some(("ENVID", value)) => {
                    let id = decode_xtext(value).and_then(|id| EnvelopeId::new(&id));
                    request.envelope_id = Some(id.ok_or("ENVID is not an envelope id")?);
                }
                _ => return Err("a parameter is not known"),
            }
        }
        Ok(request)
    }
}

/// The parameters, each behind a blank, as in the MAIL and RCPT commands.
impl fmt::Display for DeliveryRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(notify) = self.notify {
            write!(f, " NOTIFY={notify}")?;
        }
        if let Some(ret) = self.ret {
            write!(f, " RET={ret}")?;
        }
        if let Some(id) = &self.envelope_id {
            write!(f, " ENVID={}", Xtext(id.as_str()))?;
        }
        Ok(())
    }
}

impl fmt::Display for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::On { success, failure, delay } = *self else { return f.write_str("NEVER") };
        let words = [(success, "SUCCESS"), (failure, "FAILURE"), (delay, "DELAY")];
        let mut comma = "";
        for (_, word) in words.into_iter().filter(|(on, _)| *on) {
            write!(f, "{comma}{word}")?;
            comma = ",";
        }
        Ok(())
    }
}

impl fmt::Display for Ret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "FULL",
            Self::Headers => "HDRS",
        })
    }
}

/// RFC 3461 §4: `+`, `=`, blanks and whatever is not printable ASCII as `+` and two hex digits.
pub(crate) struct Xtext<'a>(pub(crate) &'a str);

impl fmt::Display for Xtext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.bytes() {
            match byte {
                b'+' | b'=' | ..=b' ' | b'\x7f'.. => write!(f, "+{byte:02X}")?,
                plain => write!(f, "{}", char::from(plain))?,
            }
        }
        Ok(())
    }
}

fn decode_xtext(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first == b'+' {
            let digits = str::from_utf8(rest.get(..2)?).ok()?;
            // from_str_radix would take a sign.
            let plain = digits.bytes().all(|b| b.is_ascii_hexdigit());
            bytes.push(plain.then(|| u8::from_str_radix(digits, 16).ok()).flatten()?);
            rest = &rest[2..];
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_the_same() {
        let request = DeliveryRequest {
            notify: Notify::parse("failure,delay"),
            ret: Ret::parse("hdrs"),
            envelope_id: EnvelopeId::new("a+b =c"),
        };
        let text = request.to_string();
        assert_eq!(text, " NOTIFY=FAILURE,DELAY RET=HDRS ENVID=a+2Bb+20+3Dc");
        assert_eq!(DeliveryRequest::parse(&text.as_bytes()[1..]), Ok(request));
    }

    #[test]
    fn never_stands_alone() {
        assert_eq!(Notify::parse("never"), Some(Notify::Never));
        assert_eq!(Notify::parse("never,failure"), None);
        assert_eq!(Notify::parse(""), None);
    }

    #[test]
    fn a_parameter_that_is_not_known_is_refused() {
        for text in ["SIZE=1", "NOTIFY", "RET=some", "ENVID=+0", "ENVID=++A", "ENVID=+0A", "ENVID="]
        {
            assert!(DeliveryRequest::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
