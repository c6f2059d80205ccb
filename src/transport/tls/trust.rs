//! Whom a remote's certificate may come from: `x509cafile`, the system's bundle, or the compiled-in
//! roots where there is neither; and `x509crlfile`, who of them is out again.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};

use super::files;
use crate::mail::Tls;

/// Where Debian, Alpine, Arch and their children keep the bundle; the manual page names it.
const SYSTEM_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

pub(super) struct Trust {
    pub(super) roots: RootCertStore,
    /// The certificates of `x509cafile` as they are. A server that shows one of them is trusted.
    pub(super) listed: Vec<CertificateDer<'static>>,
    pub(super) crls: Vec<CertificateRevocationListDer<'static>>,
    /// For error messages: the file, or what stands in for it.
    pub(super) words: Arc<str>,
}

impl Trust {
    pub(super) fn read(tls: &Tls) -> Result<Self, String> {
        let mut trust = match &tls.ca_file {
            Some(path) => Self::from_file(path, tls.der)?,
            None => Self::from_system(Path::new(SYSTEM_BUNDLE))?,
        };
        if let Some(path) = &tls.crl_file {
            trust.crls = files::crls(path, tls.der)?;
        }
        Ok(trust)
    }

    fn from_file(path: &Path, der: bool) -> Result<Self, String> {
        let listed = files::certificates(path, der)?;
        let mut roots = RootCertStore::empty();
        let (usable, _) = roots.add_parsable_certificates(listed.iter().cloned());
        if usable == 0 {
            return Err(format!("there is no usable certificate in {}", path.display()));
        }
        Ok(Self { roots, listed, crls: Vec::new(), words: path.display().to_string().into() })
    }

    /// One root that does not parse costs nothing but itself.
    fn from_system(bundle: &Path) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        let words = match files::try_read(bundle) {
            Ok(bytes) => {
                let certificates = CertificateDer::pem_slice_iter(&bytes).filter_map(Result::ok);
                roots.add_parsable_certificates(certificates);
                bundle.display().to_string()
            }
            // Never a reason not to verify: a container image often has no bundle.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
                format!("the compiled-in roots ({} is not there)", bundle.display())
            }
            Err(error) => return Err(files::cannot_read(bundle, &error)),
        };
        if roots.is_empty() {
            return Err(format!("there is no usable certificate in {}", bundle.display()));
        }
        Ok(Self { roots, listed: Vec::new(), crls: Vec::new(), words: words.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_bundle_the_compiled_in_roots_stand_in() {
        let dir = tempfile::tempdir().unwrap();
        let trust = Trust::from_system(&dir.path().join("none.crt")).unwrap();
        assert!(trust.roots.len() > 100);
        assert!(trust.words.starts_with("the compiled-in roots"));
    }

    #[test]
    fn a_bundle_that_cannot_be_used_is_an_error_and_not_a_licence() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Trust::from_system(dir.path()).is_err());
        let empty = dir.path().join("empty.crt");
        std::fs::write(&empty, "").unwrap();
        assert!(Trust::from_system(&empty).is_err());
        assert!(Trust::from_file(&empty, false).is_err());
    }

    #[test]
    fn one_broken_root_costs_nothing_but_itself() {
        let dir = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let good = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        let good = super::super::tests::pem("CERTIFICATE", good.der());
        let bundle = dir.path().join("bundle.crt");
        let broken = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        std::fs::write(&bundle, format!("{broken}# comment\n{good}")).unwrap();
        assert_eq!(Trust::from_system(&bundle).unwrap().roots.len(), 1);
    }
}
