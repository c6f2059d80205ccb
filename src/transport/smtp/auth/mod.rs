//! AUTH (RFC 4954): which mechanism, whether it may be used here, and the dialogue.
//!
//! `session` logs in when it opens. A refused login is the administrator's to fix: it is a fault
//! of the session, whatever its code, and delays mail. Secrets go into the commands, and into the mask that takes them out
//! of replies, and nowhere else.

mod mechanism;
mod scram;
mod secret;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::Session;
use crate::mail::{Login, Mask, Mechanism, Remote, Reply};
use crate::transport::{Cause, Fault};
use mechanism::{Exchange, Identity};

/// RFC 5321 §4.5.3.1.4: a command is at most 512 bytes. What does not fit waits for a challenge;
/// lines of the exchange may be longer (RFC 4954 §4).
const COMMAND_MAX: usize = 510;

/// No mechanism of ours takes more rounds; a server that goes on asking is not followed.
const ROUNDS: usize = 8;

/// Some servers leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Logs in, or says why not.
pub(super) async fn login(
    session: &mut Session,
    remote: &Remote,
    login: &Login,
) -> Result<(), Fault> {
    let may_show = session.is_encrypted() || session.peer_is_loopback() || login.cleartext;
    let candidates = candidates(login, session.capabilities().auth_mechanisms(), may_show)
        .map_err(|sentence| session.broke(&sentence))?;
    let secret = secret::read(&login.secret).await.map_err(|sentence| session.broke(&sentence))?;
    session.mask(|mask| mask.hide(secret.expose()));
    let mut refusal = None;
    for mechanism in candidates {
        let identity = Identity {
            user: &login.user,
            secret: secret.expose(),
            host: &remote.host,
            port: remote.effective_port().unwrap_or_default(),
        };
        let exchange = Exchange::new(mechanism, identity, &scram::nonce());
        let reply = converse(session, exchange).await?;
        if reply.is_positive() {
            return Ok(());
        }
        // RFC 4954 §4: not a mechanism after all, whatever EHLO said. Nothing was tried.
        let unknown = reply.code == 504;
        refusal = Some(reply);
        if !unknown {
            break;
        }
    }
    let refusal = refusal.expect("there was a candidate");
    Err(session.fault(Cause::Said(refusal)))
}

/// One exchange from AUTH to the server's verdict.
async fn converse(session: &mut Session, mut exchange: Exchange) -> Result<Reply, Fault> {
    let name = exchange.mechanism().name();
    let initial = exchange.initial();
    // That of LOGIN, SCRAM and EXTERNAL is a name.
    let tells = matches!(
        exchange.mechanism(),
        Mechanism::Plain | Mechanism::Xoauth2 | Mechanism::OauthBearer
    );
    if let Some(initial) = initial.as_ref().filter(|_| tells) {
        session.mask(|mask| mask.hide_encoded(initial));
    }
    let initial = initial.map(|bytes| BASE64.encode(bytes));
    let mut held_back = None;
    let command = match initial {
        None => format!("AUTH {name}"),
        // RFC 4954 §4: an empty response is written so.
        Some(empty) if empty.is_empty() => format!("AUTH {name} ="),
        Some(initial) if name.len() + initial.len() + 6 <= COMMAND_MAX => {
            format!("AUTH {name} {initial}")
        }
        Some(long) => {
            held_back = Some(long);
            format!("AUTH {name}")
        }
    };
    let mut reply = session.command(command).await?;
    for _ in 0..ROUNDS {
        if reply.code / 100 != 3 {
            break;
        }
        let answer = match held_back.take() {
            Some(initial) => Ok(initial),
            None => exchange.answer(challenge(&reply).as_deref()).map(|answer| {
                session.mask(|mask| hide_answer(mask, &answer));
                BASE64.encode(answer.as_slice())
            }),
        };
        reply = match answer {
            Ok(line) => session.command(line).await?,
            Err(sentence) => {
                // RFC 4954 §4: the exchange is called off, and the server says so too.
                let parting = session.command("*").await?;
                return Err(match parting.code {
                    421 => session.fault(Cause::Said(parting)),
                    _ => session.broke(&format!("{name}: {sentence}")),
                });
            }
        };
    }
    match reply.code / 100 {
        2 => match exchange.verify_success() {
            Ok(()) => Ok(reply),
            Err(sentence) => Err(session.broke(&format!("{name}: {sentence}"))),
        },
        4 | 5 => Ok(reply),
        _ => Err(session.broke(&format!("{name}: server answered {reply}"))),
    }
}

/// An answer is a secret, or ends in one or in the proof of one (CRAM-MD5 behind a blank, SCRAM behind a comma): with that
/// the password can be guessed.
fn hide_answer(mask: &mut Mask, answer: &[u8]) {
    mask.hide_encoded(answer);
    let mut words = answer.rsplit(|byte| matches!(byte, b' ' | b','));
    mask.hide(words.next().unwrap_or_default());
}

/// The bytes of a challenge; `None` if it is not base64.
fn challenge(reply: &Reply) -> Option<Vec<u8>> {
    let text = reply.lines.first().map(String::as_str).unwrap_or_default();
    BASE64.decode(text.trim()).ok()
}

/// The mechanisms to try, best first. `may_show`: nobody can listen, or nobody minds.
///
/// Where a password may be shown, what shows it comes first: servers advertise the others also for
/// users whose password they keep in a form that these cannot use.
fn candidates(login: &Login, offered: &[String], may_show: bool) -> Result<Vec<Mechanism>, String> {
    use Mechanism::{CramMd5, Login as LoginMechanism, Plain, ScramSha256};
    let offers = |mechanism: &Mechanism| offered.iter().any(|word| word == mechanism.name());
    let shows =
        |mechanism: &Mechanism| !matches!(mechanism, ScramSha256 | CramMd5 | Mechanism::External);
    let by_default = [Plain, LoginMechanism, ScramSha256, CramMd5];
    let wanted: &[Mechanism] =
        if login.mechanisms.is_empty() { &by_default } else { &login.mechanisms };
    let mut found: Vec<_> = wanted.iter().copied().filter(offers).collect();
    // nullmailer: auth-login does not ask what is offered.
    if login.mechanisms == [LoginMechanism] {
        found = vec![LoginMechanism];
    }
    if found.is_empty() {
        let names: Vec<_> = wanted.iter().map(|mechanism| mechanism.name()).collect();
        let offered = match offered {
            [] => "no login at all".to_owned(),
            some => some.join(", "),
        };
        return Err(format!("server offers {offered}; we would log in by {}", names.join(", ")));
    }
    found.retain(|mechanism| may_show || !shows(mechanism));
    if found.is_empty() {
        return Err("will not send a password over an unencrypted connection; \
                    add tls or starttls, or auth-cleartext if you know what you are doing"
            .to_owned());
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
