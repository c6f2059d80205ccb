use super::*;
use crate::mail::{Secret, SecretSource};

fn login(mechanisms: &[Mechanism]) -> Login {
    Login {
        user: "u".to_owned(),
        secret: SecretSource::Inline(Secret::new(b"p".to_vec())),
        mechanisms: mechanisms.to_vec(),
        cleartext: false,
    }
}

fn chosen(asked: &[Mechanism], offered: &str, may_show: bool) -> Result<Vec<Mechanism>, String> {
    let offered: Vec<_> = offered.split_whitespace().map(str::to_owned).collect();
    candidates(&login(asked), &offered, may_show)
}

#[test]
fn by_default_the_offer_decides_and_tokens_are_for_those_who_ask() {
    use Mechanism::{CramMd5, Login, OauthBearer, Plain, ScramSha256, Xoauth2};
    let all = "XOAUTH2 CRAM-MD5 SCRAM-SHA-256 LOGIN PLAIN GSSAPI";
    assert_eq!(chosen(&[], all, true), Ok(vec![Plain, Login, ScramSha256, CramMd5]));
    assert_eq!(chosen(&[], all, false), Ok(vec![ScramSha256, CramMd5]));
    assert_eq!(chosen(&[Xoauth2, Plain], all, true), Ok(vec![Xoauth2, Plain]));
    assert_eq!(chosen(&[OauthBearer, Plain], all, true), Ok(vec![Plain]));
    assert_eq!(chosen(&[Login], "PLAIN", true), Ok(vec![Login]));
}

#[test]
fn a_password_is_not_shown_to_whoever_listens() {
    for asked in [&[][..], &[Mechanism::Plain], &[Mechanism::Login], &[Mechanism::Xoauth2]] {
        let sentence = chosen(asked, "PLAIN LOGIN XOAUTH2", false).unwrap_err();
        assert!(sentence.contains("unencrypted"), "{sentence}");
    }
}

#[test]
fn a_server_without_a_mechanism_of_ours_is_told_apart() {
    assert!(chosen(&[], "", true).unwrap_err().starts_with("server offers no login at all"));
    let sentence = chosen(&[Mechanism::ScramSha256], "PLAIN", true).unwrap_err();
    assert_eq!(sentence, "server offers PLAIN; we would log in by SCRAM-SHA-256");
}
