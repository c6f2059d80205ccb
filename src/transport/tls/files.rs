//! The certificate files of a remote's options, PEM or DER.

use std::io;
use std::path::Path;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::der;
use crate::sys;

/// No bundle or CRL is longer; a device or a log by mistake is not read to its end.
const MAX_SIZE: u64 = 64 << 20;

pub(super) fn certificates(path: &Path, der: bool) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = read(path)?;
    let found: Vec<_> = if der {
        ders(&bytes, path)?.into_iter().map(|der| CertificateDer::from(der).into_owned()).collect()
    } else {
        CertificateDer::pem_slice_iter(&bytes)
            .collect::<Result<_, _>>()
            .map_err(|e| flaw(path, e))?
    };
    if found.is_empty() {
        return Err(format!("there is no certificate in {}{}", path.display(), hint(&bytes, der)));
    }
    Ok(found)
}

pub(super) fn crls(
    path: &Path,
    der: bool,
) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    let bytes = read(path)?;
    let found: Vec<_> = if der {
        ders(&bytes, path)?
            .into_iter()
            .map(|der| CertificateRevocationListDer::from(der.to_vec()))
            .collect()
    } else {
        CertificateRevocationListDer::pem_slice_iter(&bytes)
            .collect::<Result<_, _>>()
            .map_err(|e| flaw(path, e))?
    };
    if found.is_empty() {
        return Err(format!("there is no CRL in {}{}", path.display(), hint(&bytes, der)));
    }
    Ok(found)
}

/// PKCS#8, PKCS#1 or SEC 1; a PEM file may hold certificates beside it.
pub(super) fn private_key(path: &Path, der: bool) -> Result<PrivateKeyDer<'static>, String> {
    let bytes = Zeroizing::new(read(path)?);
    let found = if der {
        PrivateKeyDer::try_from(bytes.as_slice()).ok().map(|key| key.clone_key())
    } else {
        PrivateKeyDer::from_pem_slice(&bytes).ok()
    };
    found.ok_or_else(|| {
        let encrypted = memchr::memmem::find(&bytes, b"ENCRYPTED").is_some();
        if encrypted {
            return format!(
                "the key in {} is locked with a passphrase; unlock it with `openssl pkey`",
                path.display()
            );
        }
        format!("there is no private key in {}{}", path.display(), hint(&bytes, der))
    })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    try_read(path).map_err(|error| cannot_read(path, &error))
}

pub(super) fn cannot_read(path: &Path, error: &io::Error) -> String {
    format!("cannot read {}: {error}", path.display())
}

pub(super) fn try_read(path: &Path) -> io::Result<Vec<u8>> {
    let bytes = sys::read_file(path, MAX_SIZE)?;
    if bytes.len() as u64 > MAX_SIZE {
        return Err(io::Error::other("longer than 64 MiB"));
    }
    Ok(bytes)
}

fn ders<'a>(bytes: &'a [u8], path: &Path) -> Result<Vec<&'a [u8]>, String> {
    // Text can pass for DER by chance.
    let der = if is_pem(bytes) { None } else { der::split(bytes) };
    der.ok_or_else(|| format!("{} is not DER{}", path.display(), hint(bytes, true)))
}

fn flaw(path: &Path, error: impl std::fmt::Display) -> String {
    format!("cannot read {}: {error}", path.display())
}

fn is_pem(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, b"-----BEGIN ").is_some()
}

/// What to do when the file is in the other format.
fn hint(bytes: &[u8], der: bool) -> &'static str {
    match (der, is_pem(bytes)) {
        (true, true) => ", which is PEM: leave x509fmtder out",
        (false, false) if bytes.first() == Some(&0x30) => ", which may be DER: add x509fmtder",
        _ => "",
    }
}
