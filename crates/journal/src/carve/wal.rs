//! The form of SQLite's WAL file (its documentation: "WAL-mode File Format"), as far as it tells
//! committed pages from others.

use std::io::{self, Read};

use super::read_up_to;
use crate::store::PAGE_SIZE;

const HEADER: u64 = 32;
const FRAME_HEADER: usize = 24;

/// Calls `visit` with each page of the transactions that were committed in this generation of the
/// WAL, without asking whether what stands before them is whole.
///
/// Left out are pages of a transaction that was cut off, and those of earlier generations, which lie
/// behind the end: both may hold rows under numbers that were given again. When the header is
/// damaged, all pages are visited.
pub(super) fn for_each_committed_page(mut file: impl Read, mut visit: impl FnMut(&[u8])) -> io::Result<()> {
    let mut header = Vec::new();
    read_up_to(&mut file, HEADER, &mut header)?;
    let (page_size, salt) = match read_header(&header) {
        Some((page_size, salt)) => (page_size, Some(salt)),
        None => (PAGE_SIZE, None),
    };
    let mut frame = Vec::new();
    let mut uncommitted: Vec<Vec<u8>> = Vec::new();
    while read_up_to(&mut file, FRAME_HEADER as u64 + page_size, &mut frame)? > 0 {
        let Some((header, page)) = frame.split_first_chunk::<FRAME_HEADER>() else {
            break;
        };
        match salt {
            None => visit(page),
            Some(salt) if header[8..16] == salt => {
                uncommitted.push(page.to_vec());
                // The last frame of a transaction tells the size of the database after it.
                if header[4..8] != [0; 4] {
                    uncommitted.drain(..).for_each(|page| visit(&page));
                }
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Returns the size of the pages, and what marks the frames of this generation; `None` when the
/// header is damaged.
fn read_header(header: &[u8]) -> Option<(u64, [u8; 8])> {
    let (content, checksum) = header.split_first_chunk::<24>()?;
    let checksum: [u8; 8] = checksum.try_into().ok()?;
    let read: fn([u8; 4]) -> u32 = match content.first_chunk()? {
        [0x37, 0x7f, 0x06, 0x82] => u32::from_le_bytes,
        [0x37, 0x7f, 0x06, 0x83] => u32::from_be_bytes,
        _ => return None,
    };
    let (words, _) = content.as_chunks::<4>();
    let (mut first, mut second) = (0_u32, 0_u32);
    let (pairs, _) = words.as_chunks::<2>();
    for [one, two] in pairs {
        first = first.wrapping_add(read(*one)).wrapping_add(second);
        second = second.wrapping_add(read(*two)).wrapping_add(first);
    }
    let (halves, _) = checksum.as_chunks::<4>();
    let expected = [first.to_be_bytes(), second.to_be_bytes()];
    if halves != expected {
        return None;
    }
    let (page_size, _) = content[8..].split_first_chunk()?;
    Some((u64::from(u32::from_be_bytes(*page_size)), *content.last_chunk()?))
}
