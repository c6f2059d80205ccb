//! Dates as headers have them (RFC 5322 §3.3): English names, two-digit day.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `Sun, 22 Nov 2026 21:15:42 +0100`: the time in `zone`. A time beyond the calendar is 1970.
pub(crate) fn rfc5322_date(seconds: i64, zone: &TimeZone) -> String {
    let time = Timestamp::from_second(seconds).unwrap_or_default().to_zoned(zone.clone());
    let offset = time.offset().seconds() / 60;
    let sign = if offset < 0 { '-' } else { '+' };
    let (hours, minutes) = (offset.abs() / 60, offset.abs() % 60);
    format!("{} {sign}{hours:02}{minutes:02}", written(&time))
}

/// The form of the Received line that nullmailer-queue adds: UTC, written `-0000`, which says that
/// the zone is not known (RFC 5322 §3.3).
pub(crate) fn received_date(seconds: i64) -> String {
    let time = Timestamp::from_second(seconds).unwrap_or_default().to_zoned(TimeZone::UTC);
    format!("{} -0000", written(&time))
}

/// All but the zone. Not by `Zoned::strftime`, which brings 15 kB of what no other place needs.
fn written(time: &Zoned) -> String {
    let name = |names: &[&'static str], nth: i8| names[usize::from(nth.unsigned_abs()) - 1];
    let day = name(&DAYS, time.weekday().to_monday_one_offset());
    let month = name(&MONTHS, time.month());
    format!("{day}, {:02} {month} {:04} {}", time.day(), time.year(), time.time())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_the_originals_form() {
        let zone = TimeZone::fixed(
            jiff::tz::offset(-3).saturating_sub(jiff::SignedDuration::from_mins(30)),
        );
        assert_eq!(rfc5322_date(1_795_382_142, &zone), "Sun, 22 Nov 2026 17:45:42 -0330");
        assert_eq!(received_date(1_795_382_142), "Sun, 22 Nov 2026 21:15:42 -0000");
        assert_eq!(received_date(i64::MAX), "Thu, 01 Jan 1970 00:00:00 -0000");
        let utc = |seconds| rfc5322_date(seconds, &TimeZone::UTC);
        assert_eq!(utc(1_703_980_799), "Sat, 30 Dec 2023 23:59:59 +0000");
        assert_eq!(utc(-1), "Wed, 31 Dec 1969 23:59:59 +0000");
        // As jiff's own printer has them, but for its day without a zero.
        for day in 0..800 {
            let seconds = 1_795_382_142 + day * 86_400;
            let theirs = jiff::fmt::rfc2822::to_string(
                &Timestamp::from_second(seconds).unwrap().to_zoned(TimeZone::UTC),
            );
            let ours = utc(seconds).replacen(", 0", ", ", 1);
            assert_eq!(ours, theirs.unwrap());
        }
    }
}
