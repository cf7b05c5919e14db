//! The model file: data only, versioned, checksummed, with a header that a person can read.
//!
//! ```text
//! flowsentry-model\n
//! 2\n                        format version
//! sha256 of all that follows, in hexadecimal\n
//! {"schema": …, "facts": …}\n  one line of JSON
//! postcard bytes
//! ```
//! The first four lines are text, so `head -4` shows what a model is.

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::model::hex;

const MAGIC: &[u8] = b"flowsentry-model\n";
/// Rises with every change of the header or body.
pub const VERSION: u32 = 2;
const DIGEST: usize = 64;

/// Why bytes are not a model that can be used.
#[derive(Debug, Error)]
pub enum ModelError {
    /// The first line is another one.
    #[error("this is not a flowsentry model")]
    NotAModel,
    /// The version is lower than all that this program reads.
    #[error(
        "the model has format {found}, and this program reads format {VERSION}: train it again"
    )]
    Older {
        /// The version of the file.
        found: u32,
    },
    /// The version is higher than this program writes.
    #[error(
        "the model has format {found}, and this program reads format {VERSION}: use a newer program"
    )]
    Newer {
        /// The version of the file.
        found: u32,
    },
    /// The checksum or the content is wrong.
    #[error("the model is damaged: {reason}")]
    Damaged {
        /// What does not fit.
        reason: String,
    },
}

pub(crate) fn damaged(reason: impl Into<String>) -> ModelError {
    ModelError::Damaged { reason: reason.into() }
}

/// Puts a file together.
pub(crate) fn seal(header: &[u8], body: &[u8]) -> Vec<u8> {
    let mut rest = Vec::with_capacity(header.len() + body.len() + 1);
    rest.extend_from_slice(header);
    rest.push(b'\n');
    rest.extend_from_slice(body);
    let mut file = MAGIC.to_vec();
    file.extend_from_slice(format!("{VERSION}\n{}\n", digest(&rest)).as_bytes());
    file.extend_from_slice(&rest);
    file
}

/// Takes a file apart into header and body; both are as they were sealed.
pub(crate) fn open(bytes: &[u8]) -> Result<(&[u8], &[u8]), ModelError> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(ModelError::NotAModel)?;
    let (version, rest) = line(rest)?;
    let version = std::str::from_utf8(version).ok().and_then(|text| text.parse::<u32>().ok());
    match version.ok_or_else(|| damaged("it has no version"))? {
        found if found < VERSION => return Err(ModelError::Older { found }),
        found if found > VERSION => return Err(ModelError::Newer { found }),
        _ => {}
    }
    let (stated, rest) = line(rest)?;
    if stated.len() != DIGEST || stated != digest(rest).as_bytes() {
        return Err(damaged("its checksum does not fit its content"));
    }
    line(rest)
}

fn line(bytes: &[u8]) -> Result<(&[u8], &[u8]), ModelError> {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let end = end.ok_or_else(|| damaged("it ends too early"))?;
    Ok((&bytes[..end], &bytes[end + 1..]))
}

fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn other_versions_and_other_files_are_told_apart() {
        let sealed = String::from_utf8(seal(b"{}", b"body")).unwrap();
        let with =
            |version: &str| sealed.replacen(&format!("\n{VERSION}\n"), version, 1).into_bytes();
        assert!(matches!(open(&with("\n0\n")), Err(ModelError::Older { found: 0 })));
        assert!(matches!(open(&with("\n99\n")), Err(ModelError::Newer { found: 99 })));
        assert!(matches!(open(&with("\nx\n")), Err(ModelError::Damaged { .. })));
        assert!(matches!(open(b"PK\x03\x04"), Err(ModelError::NotAModel)));
        assert!(matches!(open(&sealed.as_bytes()[..40]), Err(ModelError::Damaged { .. })));
    }

    proptest! {
        #[test]
        fn what_was_sealed_comes_out_and_a_changed_byte_is_noticed(
            header in "[ -~]{0,40}", body in prop::collection::vec(any::<u8>(), 0..80),
            place in any::<prop::sample::Index>(), change in 1u8..,
        ) {
            let mut sealed = seal(header.as_bytes(), &body);
            let (found_header, found_body) = open(&sealed).unwrap();
            prop_assert_eq!(found_header, header.as_bytes());
            prop_assert_eq!(found_body, &body[..]);
            let place = place.index(sealed.len());
            sealed[place] ^= change;
            prop_assert!(open(&sealed).is_err());
        }
    }
}
