//! Certificates and servers of other days, which openssl still makes and speaks.

use super::desk::{Desk, OpenSsl, has_openssl, insecure, refused, verdict};

/// A leaf for mail.example under a CA of its own, as `ca.crt`, `leaf.crt` and `leaf.key`.
struct Old {
    ca_key: &'static str,
    /// Without any extension openssl makes version 1.
    ca_extensions: Option<&'static str>,
    key: &'static str,
    digest: &'static str,
    extensions: Option<&'static str>,
}

/// What everybody takes.
const USUAL: Old = Old {
    ca_key: "rsa:2048",
    ca_extensions: Some("basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign"),
    key: "rsa:2048",
    digest: "-sha256",
    extensions: Some("subjectAltName=DNS:mail.example"),
};

impl Old {
    fn make(&self) -> Desk {
        let desk = Desk::new();
        let request = |name: &str, key: &str, subject: &str| {
            let (out, request) = (format!("{name}.key"), format!("{name}.csr"));
            let args = ["-nodes", "-subj", subject, "-keyout", &out, "-out", &request];
            desk.openssl(&[&["req", "-newkey", key], &args[..]].concat());
        };
        let sign = |name: &str, by: &[&str], digest: &str, extensions: Option<&str>| {
            let (request, out) = (format!("{name}.csr"), format!("{name}.crt"));
            let mut args = vec!["x509", "-req", "-in", &request, digest, "-out", &out];
            args.extend(by);
            if let Some(extensions) = extensions {
                desk.file("ext", extensions);
                args.extend(["-extfile", "ext"]);
            }
            desk.openssl(&args);
        };
        request("ca", self.ca_key, "/CN=old ca");
        sign("ca", &["-signkey", "ca.key"], "-sha256", self.ca_extensions);
        request("leaf", self.key, "/CN=mail.example");
        let by = ["-CA", "ca.crt", "-CAkey", "ca.key", "-set_serial", "5"];
        sign("leaf", &by, self.digest, self.extensions);
        desk
    }
}

const SERVE: &[&str] = &["-cert", "leaf.crt", "-key", "leaf.key", "-cipher", "ALL:@SECLEVEL=0"];

/// What comes of its certificate, with its CA as the CA file; `insecure` takes every one.
#[track_caller]
fn judge(old: &Old, reason: Option<&str>) {
    let desk = old.make();
    let server = OpenSsl::serve(&desk, SERVE);
    let ca = desk.0.path().join("ca.crt");
    match (verdict(server.address, &ca, &[]), reason) {
        (Ok(_), None) => {}
        (verdict, Some(reason)) => refused(verdict, reason),
        (Err(sentence), None) => panic!("it should have been taken: {sentence}"),
    }
    let server = OpenSsl::serve(&desk, SERVE);
    insecure(server.address).unwrap_or_else(|error| panic!("insecure: {error}"));
}

#[test]
fn rsa_keys_and_digests_of_any_usual_size_are_taken() {
    if has_openssl() {
        judge(&USUAL, None);
        judge(&Old { key: "rsa:4096", digest: "-sha512", ..USUAL }, None);
    }
}

#[test]
fn a_sha_1_signature_is_refused_and_insecure_takes_it() {
    if has_openssl() {
        judge(&Old { digest: "-sha1", ..USUAL }, Some("no longer trusted, such as SHA-1"));
    }
}

#[test]
fn a_short_rsa_key_is_refused_in_a_leaf_and_above_it_and_insecure_takes_it() {
    if has_openssl() {
        let short = "rsa:1024";
        judge(&Old { ca_key: short, key: short, ..USUAL }, Some("RSA below 2048 bits"));
        judge(&Old { ca_key: short, ..USUAL }, Some("RSA below 2048 bits"));
        judge(&Old { key: short, ..USUAL }, Some("RSA below 2048 bits"));
    }
}

#[test]
fn a_version_1_certificate_is_refused_in_a_leaf_and_taken_as_the_ca() {
    if has_openssl() {
        judge(&Old { extensions: None, ..USUAL }, Some("X.509 version 1"));
        judge(&Old { ca_extensions: None, ..USUAL }, None);
    }
}

/// What comes of a server that `s_server` is made with these arguments, whatever its certificate.
fn only(args: &[&str]) -> Result<rustls::HandshakeKind, String> {
    let desk = USUAL.make();
    let args = [&["-cert", "leaf.crt", "-key", "leaf.key"], args].concat();
    let server = OpenSsl::serve(&desk, &args);
    insecure(server.address)
}

#[test]
fn tls_before_1_2_fails_with_a_sentence_even_where_anybody_is_trusted() {
    if has_openssl() {
        for version in ["-tls1", "-tls1_1"] {
            refused(only(&[version, "-cipher", "ALL:@SECLEVEL=0"]), "neither TLS 1.2 nor");
        }
    }
}

#[test]
fn what_rustls_does_not_speak_fails_with_a_sentence() {
    if !has_openssl() {
        return;
    }
    for suite in ["AES256-GCM-SHA384", "DHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-SHA"] {
        refused(only(&["-tls1_2", "-cipher", suite]), "no cipher or key exchange in common");
    }
    refused(only(&["-tls1_3", "-groups", "P-521"]), "in common");
    refused(
        only(&["-tls1_2", "-nocert", "-cipher", "aNULL:@SECLEVEL=0"]),
        "no cipher or key exchange",
    );
    only(&["-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"]).unwrap();
}

#[test]
fn a_handshake_signed_with_sha_1_is_refused_and_insecure_takes_it() {
    if !has_openssl() {
        return;
    }
    let args = ["-tls1_2", "-sigalgs", "RSA+SHA1", "-cipher", "ALL:@SECLEVEL=0"];
    only(&args).unwrap();
    let desk = USUAL.make();
    let server =
        OpenSsl::serve(&desk, &[&["-cert", "leaf.crt", "-key", "leaf.key"], &args[..]].concat());
    let sentence = verdict(server.address, &desk.0.path().join("ca.crt"), &[]).unwrap_err();
    assert!(sentence.contains("in common"), "{sentence}");
}
