//! Number fields, PAX integers and times.

use super::*;
use crate::archive::number::{NotANumber, octal, parse, pax_integer, pax_time};

#[test]
fn an_octal_field_has_leading_spaces_digits_and_padding_only() {
    for (field, number) in [
        (b"0000644\0".as_slice(), Some(0o644)),
        (b"00000644", Some(0o644)),
        (b"   644 \0", Some(0o644)),
        (b"     0 \0", Some(0)),
        (b"644\0\0\0  ", Some(0o644)),
        (b"777777777777", Some(0o777_777_777_777)),
        (b"\0\0\0\0", None),
        (b"    ", None),
        (b"  \0\0", None),
        (b"", None),
    ] {
        assert_eq!(octal(field), Ok(number), "{}", field.escape_ascii());
    }
    for field in [b"0000648\0".as_slice(), b"+644", b"-644", b"644\0junk", b"644 1", b"\x00644", b"0x1", b"64 4", b" - ", b"z"] {
        assert_eq!(octal(field), Err(NotANumber), "{}", field.escape_ascii());
    }
}

#[test]
fn a_base_256_field_is_twos_complement_of_any_width() {
    for number in [0, 1, -1, -512, 1 << 32, 1 << 54, -(1 << 54)] {
        assert_eq!(parse(&base256(number, 8)), Ok(Some(number)));
        assert_eq!(parse(&base256(number, 12)), Ok(Some(number)));
    }
    for number in [i128::from(i64::MIN), i128::from(u64::MAX), (1 << 94) - 1, -(1 << 94)] {
        assert_eq!(parse(&base256(number, 12)), Ok(Some(number)));
    }
}

#[test]
fn only_mtime_may_be_negative() {
    let with = |at, len, number| archive(&[file("a").put(at, &base256(number, len)).block()]);
    for (at, len) in [(100, 8), (108, 8), (116, 8), (124, 12)] {
        refused_by_both(&with(at, len, -1), ErrorKind::NumberOutOfRange, 0);
    }
    assert_eq!(only_entry(&strict(), &with(136, 12, -1)).mtime, time(-1, 0));
    assert_eq!(only_entry(&strict(), &with(136, 12, i64::MAX.into())).mtime, time(i64::MAX, 0));
    refused_by_both(&with(136, 12, 1 << 63), ErrorKind::NumberOutOfRange, 0);
    assert_eq!(only_entry(&strict(), &with(108, 8, 3_000_000)).uid, 3_000_000);
    assert_eq!(only_entry(&strict(), &with(116, 8, 1 << 40)).gid, 1 << 40);
    refused_by_both(&with(124, 12, 1 << 64), ErrorKind::NumberOutOfRange, 0);
    assert_eq!(only_entry(&strict(), &with(100, 8, 0xffff_ffff)).mode, u32::MAX);
    refused_by_both(&with(100, 8, 1 << 32), ErrorKind::NumberOutOfRange, 0);
}

#[test]
fn a_mode_keeps_its_type_bits() {
    assert_eq!(only_entry(&strict(), &archive(&[file("a").put(100, b"0104755\0").block()])).mode, 0o104_755);
}

#[test]
fn a_blank_field_is_odd_in_each_field_that_matters() {
    let ordinary = only_entry(&strict(), &archive(&[file("a").block()]));
    for (at, len, blanked) in [
        (100, 8, RawEntry { mode: 0, ..ordinary.clone() }),
        (108, 8, RawEntry { uid: 0, ..ordinary.clone() }),
        (116, 8, RawEntry { gid: 0, ..ordinary.clone() }),
        (124, 12, RawEntry { size: 0, ..ordinary.clone() }),
        (136, 12, RawEntry { mtime: time(0, 0), ..ordinary.clone() }),
    ] {
        for byte in [b' ', 0] {
            let archive = archive(&[file("a").put(at, &vec![byte; len]).block()]);
            let mut entry = odd(&archive, Reason::BlankNumber, ErrorKind::BadNumber, 0).remove(0).entry;
            entry.events.clear();
            assert_eq!(entry, blanked);
        }
    }
}

#[test]
fn a_field_that_is_no_number_is_refused() {
    for at in [100, 108, 116, 124, 136] {
        let error = refused(&tolerant(), &archive(&[file("a").put(at, b"zzzzzzz\0").block()]), ErrorKind::BadNumber, 0);
        assert_eq!((error.location().entry, error.location().path.as_deref()), (Some(0), Some(b"a".as_slice())));
    }
    refused_by_both(&archive(&[file("a").put(124, b"-0000000001\0").block()]), ErrorKind::BadNumber, 0);
}

#[test]
fn the_fields_of_an_extension_header_are_not_judged_but_its_size() {
    let header = Header::new(USTAR, b'x', "../../x").put(100, b"junkjunk").put(108, b"junkjunk").put(116, &[0; 8]).put(136, b"junk");
    let records = pax_payload(&[("path", b"b")]);
    assert_eq!(accepted_by_both(&archive(&[header.clone().body(&records), file("a").block()]))[0].entry.path, b"b");
    refused_by_both(&archive(&[header.clone().put(124, b"junk").block(), file("a").block()]), ErrorKind::BadNumber, 0);
    let blank = archive(&[header.put(124, &[b' '; 12]).block(), file("a").block()]);
    odd(&blank, Reason::BlankNumber, ErrorKind::BadNumber, 0);
}

#[test]
fn a_pax_integer_is_digits_and_nothing_else() {
    for (text, number) in [("0", 0), ("007", 7), ("18446744073709551615", u64::MAX)] {
        assert_eq!(pax_integer("size", text.as_bytes()), Ok(number));
    }
    for text in ["", "+5", "-5", "0x5", "5.0", " 5", "5 ", "5\0", "\u{664}"] {
        assert_eq!(pax_integer("size", text.as_bytes()).unwrap_err().kind(), ErrorKind::PaxMalformed, "{text}");
    }
    for text in ["18446744073709551616", "99999999999999999999999"] {
        assert_eq!(pax_integer("size", text.as_bytes()).unwrap_err().kind(), ErrorKind::NumberOutOfRange, "{text}");
    }
}

#[test]
fn a_pax_time_is_rounded_down_to_a_nanosecond() {
    for (text, secs, nanos) in [
        ("0", 0, 0),
        ("1.", 1, 0),
        ("1.5", 1, 500_000_000),
        ("1.123456789", 1, 123_456_789),
        ("1.1234567899", 1, 123_456_789),
        ("1.9999999999999", 1, 999_999_999),
        ("-1", -1, 0),
        ("-0", 0, 0),
        ("-0.0", 0, 0),
        ("-0.5", -1, 500_000_000),
        ("-1.5", -2, 500_000_000),
        ("-1.0000000001", -2, 999_999_999),
        ("-1.9999999999", -2, 0),
        ("-1.999999999", -2, 1),
        ("9223372036854775807.999999999", i64::MAX, 999_999_999),
        ("-9223372036854775808", i64::MIN, 0),
        ("-9223372036854775807.5", i64::MIN, 500_000_000),
    ] {
        assert_eq!(pax_time("mtime", text.as_bytes()), Ok(time(secs, nanos)), "{text}");
    }
    for text in ["", "-", ".5", "1e400", "nan", "+1", "--1", "1.5.5", "1,5", "1.-5", " 1", "1.5 "] {
        assert_eq!(pax_time("mtime", text.as_bytes()).unwrap_err().kind(), ErrorKind::PaxMalformed, "{text}");
    }
    for text in ["9223372036854775808", "-9223372036854775809", "-9223372036854775808.5", "18446744073709551616"] {
        assert_eq!(pax_time("mtime", text.as_bytes()).unwrap_err().kind(), ErrorKind::NumberOutOfRange, "{text}");
    }
}

#[test]
fn a_time_never_holds_a_second_of_nanoseconds() {
    assert_eq!(Timestamp::new(-5, 999_999_999).map(|time| (time.secs(), time.nanos())), Some((-5, 999_999_999)));
    assert_eq!(Timestamp::new(0, 1_000_000_000), None);
    assert!(time(-1, 999_999_999) < time(0, 0));
}
