//! The table of certificates and servers: which are taken, and what is said about the others.
//!
//! What rcgen and rustls can make is served by rustls in a thread; old and weak things are in `old`.

#[cfg(feature = "tls-anon-auth")]
mod anonymous;
mod desk;
mod old;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, DnType, IsCa, SerialNumber, date_time_ymd};
use rustls::HandshakeKind;

pub(super) use desk::pem;
use desk::{
    Desk, Issued, NAME, ca_params, connect, has_openssl, insecure, params, refused, set_up,
    verdict, words,
};

#[test]
fn a_chain_that_leads_to_the_ca_file_is_taken_and_one_that_does_not_is_refused() {
    let desk = Desk::new();
    let root = Issued::by_itself(ca_params("root"));
    let server = root.issue(ca_params("intermediate")).issue(params(&[NAME])).serve();
    let ca = desk.file("ca.pem", root.pem());
    verdict(server.address, &ca, &[]).unwrap();
    verdict(server.address, &ca, &["tls-min=1.3"]).unwrap();
    let other = desk.file("other.pem", Issued::by_itself(ca_params("other")).pem());
    refused(verdict(server.address, &other, &[]), "comes from nobody in");
    refused(verdict(server.address, &other, &[]), "other.pem");
    insecure(server.address).unwrap();
    // Nobody in the system's bundle, or among the compiled-in roots, made it.
    refused(connect(&set_up(&words(None, &[])).unwrap(), server.address), "x509cafile");
}

#[test]
fn the_ca_file_may_be_der() {
    let desk = Desk::new();
    let root = Issued::by_itself(ca_params("root"));
    let server = root.issue(params(&[NAME])).serve();
    let der = desk.file("ca.der", &root.chain[0]);
    verdict(server.address, &der, &["x509fmtder"]).unwrap();
    refused(verdict(server.address, &der, &[]), "may be DER: add x509fmtder");
    let pem = desk.file("ca.pem", root.pem());
    refused(verdict(server.address, &pem, &["x509fmtder"]), "leave x509fmtder out");
    let both = [&Issued::by_itself(ca_params("other")).chain[0][..], &root.chain[0]].concat();
    verdict(server.address, &desk.file("both.der", both), &["x509fmtder"]).unwrap();
}

#[test]
fn a_certificate_for_another_name_is_refused_with_the_names_it_has() {
    let desk = Desk::new();
    let root = Issued::by_itself(ca_params("root"));
    let ca = desk.file("ca.pem", root.pem());
    let server = root.issue(params(&["smtp.example", "127.0.0.1"])).serve();
    refused(
        verdict(server.address, &ca, &[]),
        "is for smtp.example, 127.0.0.1 and not for mail.example",
    );
    verdict(server.address, &ca, &["tls-name=smtp.example"]).unwrap();
    verdict(server.address, &ca, &["host=SMTP.Example."]).unwrap();
    insecure(server.address).unwrap();
}

#[test]
fn an_address_is_only_matched_by_an_address() {
    let desk = Desk::new();
    let root = Issued::by_itself(ca_params("root"));
    let ca = desk.file("ca.pem", root.pem());
    let server = root.issue(params(&["127.0.0.1", "::1"])).serve();
    verdict(server.address, &ca, &["host=127.0.0.1"]).unwrap();
    verdict(server.address, &ca, &["host=[::1]"]).unwrap();
    let named = root.issue(params(&["localhost"])).serve();
    refused(
        verdict(named.address, &ca, &["host=127.0.0.1"]),
        "is for localhost and not for 127.0.0.1",
    );
}

#[test]
fn a_certificate_out_of_its_time_is_refused_with_the_date_even_where_it_is_listed() {
    let desk = Desk::new();
    let root = Issued::by_itself(ca_params("root"));
    let ca = desk.file("ca.pem", root.pem());
    let mut old = params(&[NAME]);
    old.not_after = date_time_ymd(2020, 2, 3);
    let expired = root.issue(old.clone());
    let server = expired.serve();
    refused(verdict(server.address, &ca, &[]), "expired on 2020-02-03 00:00 UTC");
    let listed = desk.file("listed.pem", expired.pem());
    refused(verdict(server.address, &listed, &[]), "expired on 2020-02-03");
    insecure(server.address).unwrap();
    old.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own = Issued::by_itself(old);
    refused(verdict(own.serve().address, &desk.file("own.pem", own.pem()), &[]), "expired on");
    let mut early = params(&[NAME]);
    early.not_before = date_time_ymd(2999, 1, 1);
    early.not_after = date_time_ymd(3000, 1, 1);
    refused(verdict(root.issue(early).serve().address, &ca, &[]), "not valid before 2999-01-01");
}

#[test]
fn a_self_signed_certificate_is_taken_where_the_ca_file_lists_it() {
    let desk = Desk::new();
    // What `openssl req -x509` makes: a CA.
    let mut as_ca = params(&[NAME]);
    as_ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    for own in [Issued::by_itself(as_ca), Issued::by_itself(params(&[NAME]))] {
        let server = own.serve();
        let listed = desk.file("own.pem", own.pem());
        verdict(server.address, &listed, &[]).unwrap();
        refused(verdict(server.address, &listed, &["host=other.example"]), "not for other.example");
        let other = desk.file("other.pem", Issued::by_itself(ca_params("other")).pem());
        refused(verdict(server.address, &other, &[]), "x509cafile");
        insecure(server.address).unwrap();
    }
}

#[test]
fn an_issued_certificate_is_taken_where_the_ca_file_lists_just_it() {
    let desk = Desk::new();
    let root = Issued::by_itself(ca_params("root"));
    let leaf = root.issue(params(&[NAME]));
    let listed = desk.file("leaf.pem", leaf.pem());
    let server = leaf.serve();
    verdict(server.address, &listed, &[]).unwrap();
    refused(verdict(server.address, &listed, &["host=other.example"]), "not for other.example");
    // Another certificate of the same issuer is another certificate.
    refused(
        verdict(root.issue(params(&[NAME])).serve().address, &listed, &[]),
        "comes from nobody",
    );
}

#[test]
fn a_common_name_counts_only_in_a_listed_certificate() {
    let desk = Desk::new();
    let mut nameless = params(&[]);
    nameless.distinguished_name.push(DnType::CommonName, NAME);
    let root = Issued::by_itself(ca_params("root"));
    let leaf = root.issue(nameless.clone());
    let server = leaf.serve();
    let ca = desk.file("ca.pem", root.pem());
    refused(verdict(server.address, &ca, &[]), "has no subjectAltName");
    insecure(server.address).unwrap();
    let listed = desk.file("listed.pem", leaf.pem());
    verdict(server.address, &listed, &[]).unwrap();
    refused(verdict(server.address, &listed, &["host=other.example"]), "has no subjectAltName");
    nameless.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own = Issued::by_itself(nameless);
    verdict(own.serve().address, &desk.file("own.pem", own.pem()), &[]).unwrap();
    // A name in the subjectAltName makes the common name void (RFC 9525).
    let mut both = params(&["smtp.example"]);
    both.distinguished_name.push(DnType::CommonName, NAME);
    let both = root.issue(both);
    let listed = desk.file("both.pem", both.pem());
    refused(verdict(both.serve().address, &listed, &[]), "is for smtp.example");
}

#[test]
fn a_pin_takes_that_certificate_and_no_other() {
    use ring::digest::{SHA256, digest};
    let mut old = params(&["other.example"]);
    old.not_after = date_time_ymd(2020, 1, 1);
    let own = Issued::by_itself(old);
    let server = own.serve();
    let hex: String = digest(&SHA256, &own.chain[0])
        .as_ref()
        .iter()
        .fold(String::new(), |hex, byte| format!("{hex}{byte:02X}"));
    let pinned = set_up(&words(None, &[&format!("tls-pin=sha256:{hex}")])).unwrap();
    connect(&pinned, server.address).unwrap();
    let wrong = format!("tls-pin=sha256:{}", "00".repeat(32));
    let verdict = connect(&set_up(&words(None, &[&wrong])).unwrap(), server.address);
    refused(verdict, &format!("sha256:{}", hex.to_lowercase()));
}

#[test]
fn a_revoked_certificate_is_refused_and_a_crl_speaks_for_its_own_issuer_only() {
    let desk = Desk::new();
    let root = Issued::by_itself(ca_params("root"));
    let mut numbered = params(&[NAME]);
    numbered.serial_number = Some(SerialNumber::from(77));
    let server = root.issue(numbered).serve();
    let ca = desk.file("ca.pem", root.pem());
    let with_crl =
        |crl: PathBuf| verdict(server.address, &ca, &[&format!("x509crlfile={}", crl.display())]);
    refused(with_crl(desk.file("a.pem", pem("X509 CRL", &root.crl(77, 2999)))), "is revoked");
    with_crl(desk.file("b.pem", pem("X509 CRL", &root.crl(78, 2999)))).unwrap();
    refused(
        with_crl(desk.file("c.pem", pem("X509 CRL", &root.crl(78, 2021)))),
        "out of date since 2021-01-01",
    );
    let stranger = Issued::by_itself(ca_params("stranger"));
    with_crl(desk.file("d.pem", pem("X509 CRL", &stranger.crl(77, 2999)))).unwrap();
    let both = pem("X509 CRL", &stranger.crl(1, 2999)) + &pem("X509 CRL", &root.crl(77, 2999));
    refused(with_crl(desk.file("e.pem", both)), "is revoked");
    refused(with_crl(desk.file("f.pem", "")), "there is no CRL in");
    refused(with_crl(desk.file("g.pem", pem("X509 CRL", b"0\0"))), "CRL");
    refused(with_crl(desk.0.path().join("none.pem")), "cannot read");
    let ca_der = desk.file("ca.der", &root.chain[0]);
    let crl_der = desk.file("a.der", root.crl(77, 2999));
    let option = format!("x509crlfile={}", crl_der.display());
    refused(verdict(server.address, &ca_der, &["x509fmtder", &option]), "is revoked");
}

#[test]
fn a_client_certificate_goes_out_with_its_chain() {
    let desk = Desk::new();
    let root = Issued::by_itself(ca_params("root"));
    let ca = desk.file("ca.pem", root.pem());
    let server = root.issue(params(&[NAME])).serve_to(Some(&root));
    let us = root.issue(ca_params("intermediate")).issue(params(&["us.example"]));
    let whole = desk.file("whole.pem", us.pem() + &us.key_pem());
    let cert = |path: &Path| format!("x509certfile={}", path.display());
    verdict(server.address, &ca, &[&cert(&whole)]).unwrap();
    refused(verdict(server.address, &ca, &[]), "wants a client certificate");
    let leaf = desk.file("leaf.pem", pem("CERTIFICATE", &us.chain[0]) + &us.key_pem());
    refused(verdict(server.address, &ca, &[&cert(&leaf)]), "refuses our client certificate");
    let ca_der = desk.file("ca.der", &root.chain[0]);
    let cert_der =
        desk.file("us.der", us.chain.iter().map(|c| c.to_vec()).collect::<Vec<_>>().concat());
    let key_der =
        format!("x509keyfile={}", desk.file("key.der", us.key.serialized_der()).display());
    verdict(server.address, &ca_der, &["x509fmtder", &cert(&cert_der), &key_der]).unwrap();
}

#[test]
fn a_key_that_does_not_serve_is_refused_before_anything_is_sent() {
    if !has_openssl() {
        return;
    }
    let desk = Desk::new();
    let us = Issued::by_itself(params(&["us.example"]));
    let cert = format!("x509certfile={}", desk.file("cert.pem", us.pem()).display());
    let key = |path: PathBuf| {
        let key = format!("x509keyfile={}", path.display());
        set_up(&words(None, &[&cert, &key])).unwrap_err()
    };
    let other = desk.file("other.key", Issued::by_itself(params(&[])).key_pem());
    assert!(key(other).contains("is not that of"));
    desk.openssl(&[
        "genpkey",
        "-algorithm",
        "EC",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-aes256",
        "-pass",
        "pass:x",
        "-out",
        "locked.key",
    ]);
    assert!(key(desk.0.path().join("locked.key")).contains("locked with a passphrase"));
    assert!(key(desk.0.path().join("none.key")).starts_with("cannot read "));
    assert!(set_up(&words(None, &[&cert])).unwrap_err().contains("no private key"));
}

#[test]
fn keys_of_every_usual_kind_load() {
    if !has_openssl() {
        return;
    }
    let desk = Desk::new();
    desk.openssl(&[
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=us", "-keyout", "rsa8.pem",
        "-out", "rsa.crt",
    ]);
    desk.openssl(&["rsa", "-in", "rsa8.pem", "-traditional", "-out", "rsa1.pem"]);
    desk.openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-out", "sec1.pem"]);
    desk.openssl(&["req", "-x509", "-key", "sec1.pem", "-subj", "/CN=us", "-out", "ec.crt"]);
    for (cert, key) in [("rsa.crt", "rsa8.pem"), ("rsa.crt", "rsa1.pem"), ("ec.crt", "sec1.pem")] {
        let options = [
            format!("x509certfile={}", desk.0.path().join(cert).display()),
            format!("x509keyfile={}", desk.0.path().join(key).display()),
        ];
        set_up(&words(None, &[&options[0], &options[1]])).expect(key);
    }
}

#[test]
fn a_later_session_of_the_same_client_resumes() {
    let desk = Desk::new();
    let root = Issued::by_itself(ca_params("root"));
    let server = root.issue(params(&[NAME])).serve();
    let client = set_up(&words(Some(&desk.file("ca.pem", root.pem())), &[])).unwrap();
    assert_eq!(connect(&client, server.address), Ok(HandshakeKind::Full));
    assert_eq!(connect(&client, server.address), Ok(HandshakeKind::Resumed));
}

#[test]
fn a_server_that_speaks_first_is_told_from_one_that_speaks_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        let _ = tcp.write_all(b"220 mail ESMTP\r\n");
        let _ = tcp.read_to_end(&mut Vec::new());
        // The second one hangs up. Dropping what has come unread would reset the connection.
        let (mut tcp, _) = listener.accept().unwrap();
        let _ = tcp.shutdown(std::net::Shutdown::Write);
        let _ = tcp.read_to_end(&mut Vec::new());
    });
    refused(insecure(address), "use starttls");
    refused(insecure(address), "the server closed the connection");
    thread.join().unwrap();
}
