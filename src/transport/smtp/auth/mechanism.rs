//! The SASL mechanisms, each as the sequence of what the client says. No I/O; challenges and answers
//! are without their base64.

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use zeroize::Zeroizing;

use super::scram::Scram;
use crate::mail::Mechanism;

/// Bytes that hold a password or are made from one.
pub(super) type Answer = Zeroizing<Vec<u8>>;

/// Who logs in where.
#[derive(Clone, Copy)]
pub(super) struct Identity<'a> {
    pub(super) user: &'a str,
    pub(super) secret: &'a [u8],
    /// The server's name and port as they were asked for; OAUTHBEARER tells them.
    pub(super) host: &'a str,
    pub(super) port: u16,
}

/// One run of a mechanism.
pub(super) struct Exchange {
    mechanism: Mechanism,
    initial: Option<Answer>,
    rest: Rest,
}

/// What is left to say.
enum Rest {
    /// Nothing that a challenge could be answered with.
    Nothing,
    /// One more answer, whatever the challenge says.
    Say(Answer),
    CramMd5 {
        user: String,
        secret: Answer,
    },
    Scram(Box<Scram>),
}

impl Exchange {
    /// `nonce` is for SCRAM: printable, without a comma, never used before.
    pub(super) fn new(mechanism: Mechanism, identity: Identity<'_>, nonce: &str) -> Self {
        let Identity { user, secret, host, port } = identity;
        let (initial, rest) = match mechanism {
            // RFC 4616, with an empty authorization identity. (The original repeats the user.)
            Mechanism::Plain => {
                (Some(join(&[b"\0", user.as_bytes(), b"\0", secret])), Rest::Nothing)
            }
            // No standard. Challenges are in any language and any form; only their order counts.
            Mechanism::Login => (Some(join(&[user.as_bytes()])), Rest::Say(join(&[secret]))),
            // RFC 2195.
            Mechanism::CramMd5 => {
                (None, Rest::CramMd5 { user: user.to_owned(), secret: join(&[secret]) })
            }
            Mechanism::ScramSha256 => {
                let scram = Scram::new(user, secret, nonce);
                (Some(join(&[scram.first_message().as_bytes()])), Rest::Scram(Box::new(scram)))
            }
            // RFC 4422, appendix A: empty is whoever the certificate says.
            Mechanism::External => (Some(join(&[user.as_bytes()])), Rest::Nothing),
            // Google's and Microsoft's. A challenge is an error in JSON: an empty answer gets the reply.
            Mechanism::Xoauth2 => (
                Some(join(&[b"user=", user.as_bytes(), b"\x01auth=Bearer ", secret, b"\x01\x01"])),
                Rest::Say(Answer::default()),
            ),
            // RFC 7628; a challenge is an error in JSON (§3.2.3).
            Mechanism::OauthBearer => {
                let head = format!(
                    "n,a={},\x01host={host}\x01port={port}\x01auth=Bearer ",
                    super::scram::escape(user)
                );
                (Some(join(&[head.as_bytes(), secret, b"\x01\x01"])), Rest::Say(join(&[b"\x01"])))
            }
        };
        Self { mechanism, initial, rest }
    }

    pub(super) fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// What the client says first, if it speaks first.
    pub(super) fn initial(&mut self) -> Option<Answer> {
        self.initial.take()
    }

    /// The answer to a challenge; `None` is one that was not base64.
    pub(super) fn answer(&mut self, challenge: Option<&[u8]>) -> Result<Answer, String> {
        match std::mem::replace(&mut self.rest, Rest::Nothing) {
            Rest::Nothing => Err("server asks for more than there is to say".to_owned()),
            Rest::Say(answer) => Ok(answer),
            Rest::CramMd5 { user, secret } => {
                let challenge = challenge.ok_or("server's challenge is not base64")?;
                Ok(join(&[user.as_bytes(), b" ", &hmac_md5_hex(&secret, challenge)]))
            }
            Rest::Scram(mut scram) => {
                let challenge = challenge.ok_or("server's challenge is not base64")?;
                let answer = scram.answer(challenge)?;
                self.rest = Rest::Scram(scram);
                Ok(answer)
            }
        }
    }

    /// Whether the server's word alone is enough: with SCRAM it has to prove itself too.
    pub(super) fn verify_success(&self) -> Result<(), String> {
        match &self.rest {
            Rest::Scram(scram) if !scram.is_verified() => {
                Err("server did not prove that it knows the password".to_owned())
            }
            _ => Ok(()),
        }
    }
}

fn join(parts: &[&[u8]]) -> Answer {
    // Whole at once: growing would leave copies behind.
    let mut joined = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
    for part in parts {
        joined.extend_from_slice(part);
    }
    Zeroizing::new(joined)
}

fn hmac_md5_hex(key: &[u8], message: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut mac = Hmac::<Md5>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(message);
    let mut hex = Vec::with_capacity(32);
    for byte in mac.finalize().into_bytes() {
        write!(hex, "{byte:02x}").expect("a Vec takes all");
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(mechanism: Mechanism, user: &str, secret: &[u8], port: u16) -> Exchange {
        let identity = Identity { user, secret, host: "server.example.com", port };
        Exchange::new(mechanism, identity, "nonce")
    }

    #[test]
    fn plain_says_all_at_once_and_nothing_more() {
        let mut plain = exchange(Mechanism::Plain, "tim", b"tanstaaftanstaaf", 25);
        assert_eq!(plain.initial().unwrap().as_slice(), b"\0tim\0tanstaaftanstaaf");
        assert!(plain.answer(Some(b"")).is_err());
    }

    #[test]
    fn login_answers_in_order_whatever_it_is_asked() {
        let mut login = exchange(Mechanism::Login, "tim", b"secret", 25);
        assert_eq!(login.initial().unwrap().as_slice(), b"tim");
        assert_eq!(login.answer(None).unwrap().as_slice(), b"secret");
        assert!(login.answer(Some(b"Password:")).is_err());
    }

    #[test]
    fn cram_md5_is_that_of_rfc_2195() {
        let mut cram = exchange(Mechanism::CramMd5, "tim", b"tanstaaftanstaaf", 25);
        assert!(cram.initial().is_none());
        let challenge = b"<1896.697170952@postoffice.reston.mci.net>";
        assert_eq!(
            cram.answer(Some(challenge)).unwrap().as_slice(),
            b"tim b913a602c7eda7a495b4e6e7334d3890"
        );
    }

    #[test]
    fn oauthbearer_is_that_of_rfc_7628() {
        let token = b"vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==";
        let mut oauth = exchange(Mechanism::OauthBearer, "user@example.com", token, 587);
        assert_eq!(
            oauth.initial().unwrap().as_slice(),
            b"n,a=user@example.com,\x01host=server.example.com\x01port=587\x01\
              auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01"
        );
        assert_eq!(
            oauth.answer(Some(b"{\"status\":\"invalid_token\"}")).unwrap().as_slice(),
            b"\x01"
        );
        assert!(oauth.answer(Some(b"")).is_err());
    }

    #[test]
    fn xoauth2_hears_the_error_out() {
        let mut oauth = exchange(Mechanism::Xoauth2, "u@x", b"token", 25);
        assert_eq!(oauth.initial().unwrap().as_slice(), b"user=u@x\x01auth=Bearer token\x01\x01");
        assert!(oauth.answer(Some(b"{\"status\":\"400\"}")).unwrap().is_empty());
    }

    #[test]
    fn external_names_nobody_or_whom_to_act_for() {
        let mut external = exchange(Mechanism::External, "", b"", 25);
        assert!(external.initial().unwrap().is_empty());
        assert_eq!(exchange(Mechanism::External, "u", b"", 25).initial().unwrap().as_slice(), b"u");
    }
}
