//! The certificate of the demonstration's smarthost: for this machine only, signed by itself, made anew each time.
//!
//! Written in DER by hand: it is always the same but for its key, and a library for certificates of every
//! kind would stay in the binary for this one.

use anyhow::{Result, anyhow};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_ID: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// `[N]`, primitive or with elements inside.
const TAG: u8 = 0x80;
const TAG_AROUND: u8 = 0xa0;

/// ecdsa-with-SHA256, id-ecPublicKey, prime256v1, commonName, subjectAltName.
const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const PRIME256V1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// A certificate for `localhost` and 127.0.0.1, and its key.
pub(super) fn make() -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>)> {
    let (random, cannot) = (SystemRandom::new(), |_| anyhow!("cannot make a key"));
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(cannot)?;
    let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random)
        .map_err(|error| anyhow!("cannot make a key: {error}"))?;

    let signed_by = element(SEQUENCE, &[&element(OBJECT_ID, &[ECDSA_SHA256])]);
    let name = element(OBJECT_ID, &[COMMON_NAME]);
    let name = element(SEQUENCE, &[&name, &element(UTF8_STRING, &[b"localhost"])]);
    let name = element(SEQUENCE, &[&element(SET, &[&name])]);
    // RFC 5280 §4.1.2.5: the form depends on the century.
    let from = element(UTC_TIME, &[b"200101000000Z"]);
    let validity = element(SEQUENCE, &[&from, &element(GENERALIZED_TIME, &[b"99991231235959Z"])]);
    let curve = [EC_PUBLIC_KEY, PRIME256V1].map(|id| element(OBJECT_ID, &[id])).concat();
    let public = element(BIT_STRING, &[&[0], key.public_key().as_ref()]);
    let names = [element(TAG | 2, &[b"localhost"]), element(TAG | 7, &[&[127, 0, 0, 1]])].concat();
    let names = element(OCTET_STRING, &[&element(SEQUENCE, &[&names])]);
    let extension = element(SEQUENCE, &[&element(OBJECT_ID, &[ALTERNATIVE_NAME]), &names]);
    let content = element(
        SEQUENCE,
        &[
            &element(TAG_AROUND, &[&element(INTEGER, &[&[2]])]),
            &element(INTEGER, &[&[1]]),
            &signed_by,
            &name,
            &validity,
            &name,
            &element(SEQUENCE, &[&element(SEQUENCE, &[&curve]), &public]),
            &element(TAG_AROUND | 3, &[&element(SEQUENCE, &[&extension])]),
        ],
    );
    let signature = key.sign(&random, &content).map_err(cannot)?;
    let signature = element(BIT_STRING, &[&[0], signature.as_ref()]);
    let certificate = element(SEQUENCE, &[&content, &signed_by, &signature]);
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pkcs8.as_ref().to_vec()));
    Ok((certificate.into(), key))
}

/// Tag, length, and the parts (X.690 §8.1). All that is made here is shorter than 64 KiB.
fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let [high, low] = u16::try_from(content.len()).expect("it is short").to_be_bytes();
    let mut made = match (high, low) {
        (0, 0..=0x7f) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    made.extend(content);
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_takes_it_for_this_machine_and_no_other() {
        use webpki::{EndEntityCert, anchor_from_trusted_cert};
        let (certificate, _) = make().unwrap();
        let parsed = EndEntityCert::try_from(&certificate).unwrap();
        for (name, valid) in [("localhost", true), ("127.0.0.1", true), ("other.example", false)] {
            let name = name.try_into().unwrap();
            assert_eq!(parsed.verify_is_valid_for_subject_name(&name).is_ok(), valid, "{name:?}");
        }
        assert!(anchor_from_trusted_cert(&certificate).is_ok());
    }

    #[test]
    fn a_length_takes_as_many_bytes_as_it_needs() {
        for (length, head) in [
            (0, &[4, 0][..]),
            (127, &[4, 127]),
            (128, &[4, 0x81, 128]),
            (255, &[4, 0x81, 255]),
            (256, &[4, 0x82, 1, 0]),
        ] {
            let made = element(OCTET_STRING, &[&vec![7; length]]);
            assert_eq!((&made[..head.len()], made.len()), (head, head.len() + length));
        }
    }
}
