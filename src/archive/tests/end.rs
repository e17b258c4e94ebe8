//! How an archive ends.

use super::*;

fn ending(tail: &[u8]) -> Vec<u8> {
    [file("a").body(b"x"), tail.to_vec()].concat()
}

#[test]
fn two_zero_blocks_end_an_archive_and_more_zeros_do_no_harm() {
    for zeros in [1024, 1025, 1536, 1999, 10240] {
        assert_eq!(accepted_by_both(&ending(&vec![0; zeros])).len(), 1);
        assert_eq!(accepted_by_both(&vec![0; zeros]), []);
    }
}

#[test]
fn an_archive_without_its_end_is_odd() {
    odd(&ending(&[]), Reason::EndOfArchiveMissing, ErrorKind::Truncated, 1024);
    odd(&ending(&[0; 512]), Reason::EndOfArchiveMissing, ErrorKind::Truncated, 1536);
    odd(&[0; 512], Reason::EndOfArchiveMissing, ErrorKind::Truncated, 512);
}

#[test]
fn a_stream_of_no_bytes_is_judged_elsewhere() {
    assert_eq!(accepted_by_both(&[]), []);
}

#[test]
fn a_block_after_one_zero_block_is_refused() {
    let hidden = [vec![0; 512], file("hidden").block(), vec![0; 1024]].concat();
    refused_by_both(&ending(&hidden), ErrorKind::TrailingData, 1536);
    let ignoring = Options { trailing_data: TrailingData::Ignore, ..tolerant() };
    refused(&ignoring, &ending(&hidden), ErrorKind::TrailingData, 1536);
}

#[test]
fn bytes_after_the_end_are_refused_or_ignored_with_one_event() {
    let mut tail = [vec![0; 1024], vec![0; 700], b"G".to_vec()].concat();
    refused_by_both(&ending(&tail), ErrorKind::TrailingData, 1024 + 1724);
    tail.extend([vec![0; 100], file("hidden").body(b"x"), b"tail".to_vec()].concat());
    refused_by_both(&ending(&tail), ErrorKind::TrailingData, 1024 + 1724);
    for oddities in [Oddities::Tolerate, Oddities::Refuse] {
        let ignoring = Options { oddities, trailing_data: TrailingData::Ignore, ..tolerant() };
        let (seen, events) = accepted(&ignoring, &ending(&tail));
        assert_eq!((seen.len(), events), (1, vec![(Reason::TrailingDataIgnored, 1024 + 1724)]));
    }
}

#[test]
fn a_second_archive_after_the_end_is_trailing_data() {
    let one = ending(&[0; 1024]);
    refused_by_both(&[one.clone(), one.clone()].concat(), ErrorKind::TrailingData, one.len() as u64);
}

#[test]
fn a_cut_header_or_body_is_refused() {
    let whole = [file("first").block(), file("a").body(&[b'x'; 700])].concat();
    for cut in [513, 700, 1023, 1025, 1500, 1724, 2047] {
        let error = refused(&tolerant(), &whole[..cut], ErrorKind::Truncated, cut as u64);
        assert_eq!(error.location().entry, Some(1));
        assert_eq!(error.location().path.as_deref(), (cut > 1024).then_some(b"a".as_slice()), "{cut}");
        refused(&strict(), &whole[..cut], ErrorKind::Truncated, cut as u64);
    }
    refused_by_both(&ending(&[0; 511]), ErrorKind::Truncated, 1024 + 511);
    refused_by_both(&ending(&[0; 1023]), ErrorKind::Truncated, 1024 + 1023);
}
