//! Anonymous TLS with `openssl s_server`: whom it agrees with, and what is said about the others.

use tokio::io::AsyncReadExt;

use super::super::TlsStream;
use super::desk::{Desk, Issued, NAME, OpenSsl, has_openssl, params, set_up, words};

/// The session's protocol and cipher suite, once the server has greeted.
fn agreed(server: &OpenSsl) -> Result<String, String> {
    let client = set_up(&words(None, &["insecure", "tls-anon-auth"])).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let tcp = tokio::net::TcpStream::connect(server.address).await.unwrap();
        let mut tls = client.handshake(tcp).await?;
        assert!(matches!(tls, TlsStream::Anonymous(_)));
        let mut greeting = [0; 3];
        tls.read_exact(&mut greeting).await.unwrap();
        assert_eq!(&greeting, b"220");
        Ok(tls.describe())
    })
}

#[test]
fn a_server_without_anonymous_suites_is_refused_and_one_that_has_others_too_is_not() {
    if !has_openssl() {
        return;
    }
    let desk = Desk::new();
    let own = Issued::by_itself(params(&[NAME]));
    desk.file("own.pem", own.pem() + &own.key_pem());
    let serve =
        |args: &[&str]| agreed(&OpenSsl::serve(&desk, &[&["-cert", "own.pem"], args].concat()));
    let none = serve(&["-cipher", "ALL:!aNULL"]).unwrap_err();
    assert!(none.contains("the server has no anonymous TLS"), "{none}");
    let none = serve(&["-tls1_3"]).unwrap_err();
    assert!(none.contains("does not speak TLS 1.2"), "{none}");
    // It would rather show its certificate, and is not asked to.
    let agreed = serve(&["-cipher", "ALL:aNULL:@SECLEVEL=0"]).unwrap();
    assert!(agreed.starts_with("TLSv1.2 A"), "{agreed}");
}

#[test]
fn suites_of_both_kinds_of_key_exchange_are_agreed_on_and_named() {
    if !has_openssl() {
        return;
    }
    for suite in ["ADH-AES256-GCM-SHA384", "ADH-AES128-SHA256", "AECDH-AES256-SHA"] {
        let cipher = format!("{suite}:@SECLEVEL=0");
        let server = OpenSsl::serve(&Desk::new(), &["-nocert", "-cipher", &cipher]);
        assert_eq!(agreed(&server), Ok(format!("TLSv1.2 {suite}")));
    }
    // Anonymous as well, and in clear.
    let cipher = "AECDH-NULL-SHA:@SECLEVEL=0";
    assert!(agreed(&OpenSsl::serve(&Desk::new(), &["-nocert", "-cipher", cipher])).is_err());
}
