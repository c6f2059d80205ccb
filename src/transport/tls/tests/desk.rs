//! What the tests of TLS work with: certificates, servers that show them, and a client.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use base64::Engine as _;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig, ServerConnection};
use tokio::io::AsyncReadExt;

use super::super::{TlsClient, TlsStream, client, explain_read};
use crate::config::remotes::parse_words;
use crate::mail::Protocol;

pub(super) const NAME: &str = "mail.example";

pub(in super::super) fn pem(kind: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<_> =
        text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", lines.join("\n"))
}

/// Whether there is the openssl program, which makes and speaks what rcgen and rustls no longer do.
/// In CI there must be: a check that is passed over everywhere is none.
pub(super) fn has_openssl() -> bool {
    let found = Command::new("openssl").arg("version").output().is_ok();
    assert!(found || std::env::var_os("CI").is_none(), "openssl is not installed");
    found
}

/// A folder for the files of one test.
pub(super) struct Desk(pub(super) tempfile::TempDir);

impl Desk {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    pub(super) fn openssl(&self, args: &[&str]) {
        let output = Command::new("openssl")
            .args(args)
            .current_dir(self.0.path())
            .output()
            .expect("has_openssl() was asked");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A certificate with its key, and the certificates above it.
pub(super) struct Issued {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) params: CertificateParams,
    pub(super) key: KeyPair,
    pub(super) root: bool,
}

pub(super) fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, "somebody");
    params.use_authority_key_identifier_extension = true;
    params
}

pub(super) fn ca_params(name: &str) -> CertificateParams {
    let mut params = params(&[]);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

impl Issued {
    pub(super) fn by_itself(params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { chain: vec![certificate.der().clone()], params, key, root: true }
    }

    pub(super) fn issue(&self, params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate =
            params.signed_by(&key, &Issuer::from_params(&self.params, &self.key)).unwrap();
        let mut chain = vec![certificate.der().clone()];
        // A root does not go out with the chain.
        chain.extend(self.chain.iter().filter(|_| !self.root).cloned());
        Self { chain, params, key, root: false }
    }

    pub(super) fn crl(&self, revoked: u64, next_update: i32) -> Vec<u8> {
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(next_update, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: SerialNumber::from(revoked),
                revocation_time: date_time_ymd(2020, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&Issuer::from_params(&self.params, &self.key)).unwrap().der().to_vec()
    }

    pub(super) fn pem(&self) -> String {
        self.chain.iter().map(|certificate| pem("CERTIFICATE", certificate)).collect()
    }

    pub(super) fn key_pem(&self) -> String {
        pem("PRIVATE KEY", self.key.serialized_der())
    }

    pub(super) fn serve(&self) -> Served {
        self.serve_to(None)
    }

    /// Asks for a certificate of this CA.
    pub(super) fn serve_to(&self, client_ca: Option<&Issued>) -> Served {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match client_ca {
            None => builder.with_no_client_auth(),
            Some(ca) => {
                let mut roots = RootCertStore::empty();
                roots.add(ca.chain[0].clone()).unwrap();
                builder.with_client_cert_verifier(
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        .build()
                        .unwrap(),
                )
            }
        };
        let key = PrivateKeyDer::Pkcs8(self.key.serialized_der().to_vec().into());
        Served::start(builder.with_single_cert(self.chain.clone(), key).unwrap())
    }
}

/// A rustls server in a thread. It greets whoever gets through the handshake.
pub(super) struct Served {
    pub(super) address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    pub(super) fn start(config: ServerConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let config = Arc::new(config);
        let thread = std::thread::spawn(move || {
            loop {
                let (mut tcp, _) = listener.accept().unwrap();
                let mut first = [0];
                // The connection that ends it.
                if tcp.peek(&mut first).unwrap_or(0) == 0 {
                    return;
                }
                let mut tls = ServerConnection::new(config.clone()).unwrap();
                let mut stream = rustls::Stream::new(&mut tls, &mut tcp);
                if stream.write_all(b"220 mail\r\n").and_then(|()| stream.flush()).is_ok() {
                    let _ = stream.read(&mut first);
                }
            }
        });
        Self { address, thread: Some(thread) }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(std::net::TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// `openssl s_server`, which speaks what rustls no longer does.
pub(super) struct OpenSsl {
    pub(super) address: SocketAddr,
    child: Child,
}

impl OpenSsl {
    pub(super) fn serve(desk: &Desk, args: &[&str]) -> Self {
        let mut child = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0"])
            .args(args)
            .current_dir(desk.0.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("has_openssl() was asked");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines
            .find_map(|line| line.unwrap().strip_prefix("ACCEPT 127.0.0.1:").map(str::to_owned))
            .expect("s_server says where it listens");
        child.stdin.as_mut().unwrap().write_all(b"220 mail\r\n").unwrap();
        Self { address: format!("127.0.0.1:{port}").parse().unwrap(), child }
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn set_up(words: &[String]) -> Result<TlsClient, String> {
    client(&parse_words(Protocol::Smtp, words).unwrap())
}

/// What the options come to with this server: how the handshake was done, or the sentence.
pub(super) fn connect(client: &TlsClient, address: SocketAddr) -> Result<HandshakeKind, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
        let mut tls = client.handshake(tcp).await?;
        let mut byte = [0; 3];
        match tls.read_exact(&mut byte).await {
            Ok(_) => match &tls {
                TlsStream::Rustls(tls) => Ok(tls.get_ref().1.handshake_kind().unwrap()),
                #[cfg(feature = "tls-anon-auth")]
                TlsStream::Anonymous(_) => panic!("asked for certificates"),
            },
            Err(error) => Err(explain_read(&error).unwrap_or_else(|| error.to_string())),
        }
    })
}

pub(super) fn words(ca: Option<&Path>, more: &[&str]) -> Vec<String> {
    let ca = ca.map(|path| format!("x509cafile={}", path.display()));
    let mut words = vec!["tls".to_owned(), format!("host={NAME}")];
    words.extend(ca);
    words.extend(more.iter().map(|word| (*word).to_owned()));
    words
}

/// With this CA file.
pub(super) fn verdict(
    address: SocketAddr,
    ca: &Path,
    more: &[&str],
) -> Result<HandshakeKind, String> {
    connect(&set_up(&words(Some(ca), more))?, address)
}

pub(super) fn insecure(address: SocketAddr) -> Result<HandshakeKind, String> {
    connect(&set_up(&words(None, &["insecure"]))?, address)
}

#[track_caller]
pub(super) fn refused(verdict: Result<HandshakeKind, String>, part: &str) {
    let sentence = verdict.expect_err("it should have been refused");
    assert!(sentence.contains(part), "{part:?} is not in: {sentence}");
}
