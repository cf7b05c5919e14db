//! Whether what was fetched is a list, and all of it.

use crate::detect::Entries;

/// Shorter lists come and go as they like.
const FEW_ENTRIES: usize = 100;
/// A list with less than this share of what it had is a part of one, or an emptied one.
const LEAST_SHARE: f64 = 0.1;

/// Judges `entries` against the number of entries `before`. The error goes on from "was refused".
pub(super) fn judge(
    entries: &Entries,
    before: Option<usize>,
    min_entries: usize,
) -> Result<(), String> {
    let (count, rejected) = (entries.len(), entries.rejected());
    if rejected > entries.accepted() {
        let sample = entries.rejected_samples().first().map(String::as_str).unwrap_or_default();
        return Err(format!(
            "{rejected} of {} entries are no addresses, the first is `{}`",
            rejected.saturating_add(entries.accepted()),
            super::state::printable(sample)
        ));
    }
    if count < min_entries {
        return Err(format!("it has {count} entries, {min_entries} are the least (`min_entries`)"));
    }
    match before {
        Some(before) if before >= FEW_ENTRIES && (count as f64) < LEAST_SHARE * before as f64 => {
            Err(format!(
                "it has {count} entries, the last good one has {before}; `flowsentry blacklist \
                 refresh --anew` takes it all the same"
            ))
        }
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(count: u32, junk: usize) -> Entries {
        let mut text: String = (0..count)
            .map(|n| format!("{}\n", std::net::Ipv4Addr::from(0xc633_6400 + n)))
            .collect();
        text += &"<p>sorry</p>\n".repeat(junk);
        Entries::parse(text.as_bytes())
    }

    #[test]
    fn lists_are_taken_and_what_is_none_is_not() {
        let judged = |count, junk, before| judge(&list(count, junk), before, 1).is_ok();
        assert!(judged(10, 0, None) && judged(10, 10, None));
        assert!(!judged(10, 11, None), "more junk than addresses");
        assert!(!judged(0, 0, None), "nothing");
        assert!(judged(10, 0, Some(100)) && !judged(9, 0, Some(100)), "a tenth of the last one");
        assert!(judged(1, 0, Some(99)), "short lists shrink as they like");
        assert!(judge(&list(9, 0), None, 10).is_err() && judge(&list(10, 0), None, 10).is_ok());
    }

    #[test]
    fn a_page_instead_of_a_list_is_told_with_its_beginning() {
        let page = Entries::parse(b"<!DOCTYPE html>\n<p>\x1b[2Jsorry</p>\n");
        assert_eq!(
            judge(&page, None, 1).unwrap_err(),
            "2 of 2 entries are no addresses, the first is `<!DOCTYPE html>`"
        );
    }
}
