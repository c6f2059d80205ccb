//! SCRAM-SHA-256 without channel binding (RFC 5802, RFC 7677).
//!
//! User and password go in as they are: SASLprep changes only what is not ASCII, and
//! administrators write it composed.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hmac, pbkdf2};
use zeroize::Zeroizing;

use super::mechanism::Answer;

/// No header flags: no channel binding, no authorization identity.
const GS2_HEADER: &str = "n,,";
/// RFC 7677 §4. With fewer, whoever plays the server could guess the password from the proof.
const MIN_ITERATIONS: u32 = 4096;
/// More would only keep us busy.
const MAX_ITERATIONS: u32 = 1_000_000;

pub(super) struct Scram {
    /// client-first-message-bare
    first_bare: String,
    nonce: String,
    secret: Zeroizing<Vec<u8>>,
    state: State,
}

enum State {
    Started,
    /// The proof is out; this is what the server has to answer.
    Proved {
        signature: hmac::Tag,
    },
    Verified,
}

/// 144 random bits, printable and without a comma.
pub(super) fn nonce() -> String {
    let mut bytes = [0; 18];
    SystemRandom::new().fill(&mut bytes).expect("the system has random numbers");
    STANDARD.encode(bytes)
}

/// RFC 5802 §5.1: a name in a list that commas divide.
pub(super) fn escape(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

impl Scram {
    pub(super) fn new(user: &str, secret: &[u8], nonce: &str) -> Self {
        Self {
            first_bare: format!("n={},r={nonce}", escape(user)),
            nonce: nonce.to_owned(),
            secret: Zeroizing::new(secret.to_vec()),
            state: State::Started,
        }
    }

    pub(super) fn first_message(&self) -> String {
        format!("{GS2_HEADER}{}", self.first_bare)
    }

    pub(super) fn is_verified(&self) -> bool {
        matches!(self.state, State::Verified)
    }

    pub(super) fn answer(&mut self, challenge: &[u8]) -> Result<Answer, String> {
        let text = str::from_utf8(challenge).map_err(|_| "server's message is not UTF-8")?;
        match &self.state {
            State::Started => self.prove(text),
            State::Proved { signature } => {
                let shown = match text.split(',').next().and_then(|first| first.split_once('=')) {
                    Some(("v", shown)) => STANDARD.decode(shown).unwrap_or_default(),
                    Some(("e", error)) => return Err(format!("server says {error}")),
                    _ => return Err("server's last message has no signature".to_owned()),
                };
                // Nothing secret is compared: a wrong guess ends the session.
                if shown != signature.as_ref() {
                    return Err(
                        "server's signature is wrong: it does not know the password".to_owned()
                    );
                }
                self.state = State::Verified;
                Ok(Answer::default())
            }
            State::Verified => Err("server asks for more than there is to say".to_owned()),
        }
    }

    /// Answers the server-first-message with the client-final-message.
    fn prove(&mut self, server_first: &str) -> Result<Answer, String> {
        let (nonce, salt, iterations) = parse(server_first)?;
        if nonce.len() <= self.nonce.len() || !nonce.starts_with(&self.nonce) {
            return Err("server's nonce does not continue ours".to_owned());
        }
        let mut salted = Zeroizing::new([0; digest::SHA256_OUTPUT_LEN]);
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            iterations,
            &salt,
            &self.secret,
            salted.as_mut_slice(),
        );
        let mac =
            |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
        let client_key = mac(salted.as_slice(), b"Client Key");
        let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
        let final_bare = format!("c={},r={nonce}", STANDARD.encode(GS2_HEADER));
        let all = format!("{},{server_first},{final_bare}", self.first_bare);
        let client_signature = mac(stored_key.as_ref(), all.as_bytes());
        let proof: Vec<u8> = client_key
            .as_ref()
            .iter()
            .zip(client_signature.as_ref())
            .map(|(key, signature)| key ^ signature)
            .collect();
        let server_key = mac(salted.as_slice(), b"Server Key");
        self.state = State::Proved { signature: mac(server_key.as_ref(), all.as_bytes()) };
        Ok(Zeroizing::new(format!("{final_bare},p={}", STANDARD.encode(proof)).into_bytes()))
    }
}

/// server-first-message: nonce, salt, iteration count, in this order; extensions may follow.
fn parse(text: &str) -> Result<(&str, Vec<u8>, NonZeroU32), String> {
    let mut fields = text.split(',');
    let mut field = |name: &str| {
        let value = fields.next().and_then(|field| field.strip_prefix(name));
        value.ok_or_else(|| format!("server's first message lacks {name}"))
    };
    let (nonce, salt, iterations) = (field("r=")?, field("s=")?, field("i=")?);
    let salt = STANDARD.decode(salt).map_err(|_| "server's salt is not base64")?;
    match iterations.parse() {
        Ok(count @ MIN_ITERATIONS..=MAX_ITERATIONS) => {
            Ok((nonce, salt, NonZeroU32::new(count).expect("it is at least 4096")))
        }
        _ => Err(format!(
            "server asks for {iterations} iterations, not {MIN_ITERATIONS} to {MAX_ITERATIONS}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 7677 §3.
    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                                s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn started() -> Scram {
        Scram::new("user", b"pencil", NONCE)
    }

    #[test]
    fn the_example_of_rfc_7677_is_spoken_word_for_word() {
        let mut scram = started();
        assert_eq!(scram.first_message(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let last = scram.answer(SERVER_FIRST.as_bytes()).unwrap();
        assert_eq!(
            str::from_utf8(&last).unwrap(),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert!(!scram.is_verified());
        let verified = scram.answer(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").unwrap();
        assert!(verified.is_empty() && scram.is_verified());
    }

    #[test]
    fn a_server_that_does_not_know_the_password_is_found_out() {
        for last in ["v=AAAA", "v=", "e=other-error", "", "x=1"] {
            let mut scram = started();
            scram.answer(SERVER_FIRST.as_bytes()).unwrap();
            assert!(scram.answer(last.as_bytes()).is_err(), "{last}");
            assert!(!scram.is_verified());
        }
    }

    #[test]
    fn a_first_message_that_would_give_the_password_away_is_not_answered() {
        for first in [
            SERVER_FIRST.replace("i=4096", "i=1"),
            SERVER_FIRST.replace("i=4096", "i=4294967295"),
            SERVER_FIRST.replace("rOprNGfw", "another"),
            format!("r={NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"),
            SERVER_FIRST.replace("s=W22ZaJ0SNY7soEsUEjb6gQ==", "s=%"),
            "m=ext,r=x".to_owned(),
            String::new(),
        ] {
            assert!(started().answer(first.as_bytes()).is_err(), "{first}");
        }
    }

    #[test]
    fn a_name_cannot_add_fields() {
        assert_eq!(Scram::new("a,r=x=", b"", "n").first_message(), "n,,n=a=2Cr=3Dx=3D,r=n");
    }

    #[test]
    fn no_two_logins_share_a_nonce() {
        assert_ne!(nonce(), nonce());
    }
}
