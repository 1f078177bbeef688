//! Sizes out of files. Those in base64 are of 40 x 30 pixels, as Pillow 13.0 writes them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;

const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAACgAAAAeCAIAAADRv8uKAAAAIklEQVR4nO3OIQEAAAgDsFv6B4YIODBbgiWc6/oeAAAALAYtsAEJZ2JC\
    rwAAAABJRU5ErkJggg==";
/// With EXIF data before the tables. The pixels are left out.
const JPEG: &str = "/9j/4AAQSkZJRgABAQAAAQABAAD/4QA2RXhpZgAATU0AKgAAAAgAAgEOAAIAAAAHAAAAJgESAAMAAAABAAYAAAAAAABhIG5vdGUA\
    AP/bAEMAAQEBAQEBAQEBAQEBAQEBAgIBAQEBAwICAgIDAwQEAwMDAwQEBgUEBAUEAwMFBwUFBgYGBgYEBQcHBwYHBgYGBv/bAEMB\
    AQEBAQEBAwICAwYEAwQGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBv/AABEIAB4AKAMB\
    IgACEQEDEQH/xAAf";
const PROGRESSIVE_JPEG: &str = "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAEBAQEBAQEBAQEBAQEBAQICAQEBAQMCAgICAwMEBAMDAwMEBAYFBAQFBAMDBQcFBQYG\
    BgYGBAUHBwcGBwYGBgb/2wBDAQEBAQEBAQMCAgMGBAMEBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYG\
    BgYGBgYGBgb/wgARCAAeACgDASIAAhEBAxEB/8QA";
const GIF: &str = "R0lGODdhKAAeAIEAAP8JAAAAAAAAAAAAACwAAAAAKAAeAEAIPAADCBxIsKDBgwgTKlzIsKHDhxAjSpxIsaLFixgzatzIsaPHjyBDihzZEADJ\
    kyhTqlzJsqXLlzBjylQYEAA7";
const GIF_WITH_COMMENT: &str = "R0lGODlhKAAeAIEAAP8JAAAAAAAAAAAAACH+BWhlbGxvACwAAAAAKAAeAEAIPAADCBxIsKDB";
const WEBP: &str =
    "UklGRkAAAABXRUJQVlA4IDQAAAAwAwCdASooAB4APm02l0ikIyIhJWgAgA2JaQ2wAAEY910AAP77n3/mG8rGfKwAAAuAAAAA";
const LOSSLESS_WEBP: &str = "UklGRigAAABXRUJQVlA4TBsAAAAvJ0AHAA8wCfMf8x8ciLRtCuff9NlxRP/TygcA";
const EXTENDED_WEBP: &str = "UklGRogAAABXRUJQVlA4WAoAAAAIAAAAJwAAHQAAVlA4IDQAAAAwAwCdASooAB4APm02l0ikIyIhJWgAgA2JaQ2wAAEY910AAP77n3/mG8rG\
    fKwAAAuAAAAARVhJRi4AAABNTQAqAAAACAACAQ4AAgAAAAcAAAAmARIAAwAAAAEABgAAAAAAAGEgbm90ZQAA";
/// Of 5 x 3 pixels.
const BMP: &str = "Qk1mAAAAAAAAADYAAAAoAAAABQAAAAMAAAABABgAAAAAADAAAADEDgAAxA4AAAAAAAAAAAAAAAAA";

const FILES: [&str; 9] = [
    PNG,
    JPEG,
    PROGRESSIVE_JPEG,
    GIF,
    GIF_WITH_COMMENT,
    WEBP,
    LOSSLESS_WEBP,
    EXTENDED_WEBP,
    BMP,
];

fn file(base64: &str) -> Vec<u8> {
    // Some are cut in the middle of a group.
    STANDARD.decode(&base64[..base64.len() / 4 * 4]).unwrap()
}

#[track_caller]
fn assert_size(bytes: &[u8], width: u32, height: u32) {
    assert_eq!(ImageSize::of_file(bytes), Ok(size(width, height)));
}

#[track_caller]
fn assert_refused(bytes: &[u8], error: UnreadableImage) {
    assert_eq!(ImageSize::of_file(bytes), Err(error));
}

#[test]
fn files_of_all_formats_are_read() {
    for base64 in &FILES[..8] {
        assert_size(&file(base64), 40, 30);
    }
    assert_size(&file(BMP), 5, 3);
}

#[test]
fn a_file_that_ends_before_its_size_is_truncated() {
    for base64 in FILES {
        let bytes = file(base64);
        let told = (0..bytes.len())
            .find(|end| ImageSize::of_file(&bytes[..*end]).is_ok())
            .unwrap();
        // From where on the format is known.
        let begin = if matches!(base64, JPEG | PROGRESSIVE_JPEG | BMP) {
            2
        } else {
            8
        };
        for end in begin..told {
            assert_refused(&bytes[..end], UnreadableImage::Truncated);
        }
    }
}

#[test]
fn a_bmp_file_from_top_to_bottom_has_its_height() {
    let mut bytes = file(BMP);
    bytes[22..26].copy_from_slice(&(-3_i32).to_le_bytes());
    assert_size(&bytes, 5, 3);
}

#[test]
fn a_bmp_file_of_os2_is_read() {
    let mut bytes = b"BM\x4a\0\0\0\0\0\0\0\x1a\0\0\0\x0c\0\0\0".to_vec();
    bytes.extend([5, 0, 3, 0, 1, 0, 24, 0]);
    assert_size(&bytes, 5, 3);
}

#[test]
fn fill_bytes_before_a_jpeg_marker_are_passed_over() {
    let mut bytes = file(JPEG);
    let frame = bytes.windows(2).position(|pair| pair == b"\xff\xc0").unwrap();
    bytes.splice(frame..frame, [0xff, 0xff]);
    assert_size(&bytes, 40, 30);
}

#[test]
fn a_jpeg_preview_is_not_taken_for_the_image() {
    // The preview's own frame header, 9 x 8 pixels, stands in a segment.
    let preview = b"\xff\xd8\xff\xc0\x00\x11\x08\x00\x08\x00\x09";
    let mut bytes = b"\xff\xd8\xff\xe1\x00\x0d".to_vec();
    bytes.extend(preview);
    bytes.extend(b"\xff\xc0\x00\x11\x08\x00\x1e\x00\x28");
    assert_size(&bytes, 40, 30);
}

#[test]
fn tables_with_numbers_like_frame_headers_are_no_frame_headers() {
    for table in [0xc4, 0xc8, 0xcc] {
        let mut bytes = vec![0xff, 0xd8, 0xff, table];
        bytes.extend(b"\x00\x08\x08\x00\x07\x00\x07\x00");
        bytes.extend(b"\xff\xc1\x00\x11\x08\x00\x1e\x00\x28");
        assert_size(&bytes, 40, 30);
    }
}

#[test]
fn a_webp_file_with_a_scale_has_the_size_that_is_decoded() {
    let mut bytes = file(WEBP);
    bytes[27] |= 0xc0;
    bytes[29] |= 0x40;
    assert_size(&bytes, 40, 30);
}

#[test]
fn a_gif_picture_larger_than_its_screen_enlarges_it() {
    let mut bytes = file(GIF);
    bytes[6..10].copy_from_slice(&[2, 0, 2, 0]);
    assert_size(&bytes, 40, 30);
}

#[test]
fn what_breaks_its_format_is_refused() {
    for bytes in [
        &b"\x89PNG\r\n\x1a\n\0\0\0\x0dIDATxxxxxxxx"[..],
        // The pixels before a frame header, the end of the image, no marker, a segment too short.
        b"\xff\xd8\xff\xda\x00\x08xxxxxxxxxxxx",
        b"\xff\xd8\xff\xd9xxxxxxxxxx",
        b"\xff\xd8xxxxxxxxxxxx",
        b"\xff\xd8\xff\xe0\x00\x01xxxxxxxxxxxx",
        b"GIF89a\x01\0\x01\0\0\0\0\x3b",
        b"RIFF\0\0\0\0WEBPVP9 \0\0\0\0xxxxxxxxxxxx",
        b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\x31\0\0\x9d\x01\x2axxxx",
        b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\x30\0\0\x9d\x01\x2bxxxx",
        b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x30xxxx",
        b"BMxxxxxxxxxxxx\x0d\0\0\0xxxxxxxx",
    ] {
        assert_refused(bytes, UnreadableImage::Malformed);
    }
}

#[test]
fn other_formats_are_refused() {
    for bytes in [
        &b""[..],
        b"<svg/>",
        b"%PDF-1.7",
        b"II*\0",
        b"RIFF\0\0\0\0WAVEfmt ",
    ] {
        assert_refused(bytes, UnreadableImage::UnknownFormat);
    }
}

#[test]
fn impossible_sizes_are_refused() {
    let png = |width: u32, height: u32| {
        let mut bytes = file(PNG);
        bytes[16..20].copy_from_slice(&width.to_be_bytes());
        bytes[20..24].copy_from_slice(&height.to_be_bytes());
        ImageSize::of_file(&bytes)
    };
    assert!(matches!(
        png(0, 30),
        Err(UnreadableImage::Size(InvalidImageSize::Empty { .. }))
    ));
    for (width, height) in [(u32::MAX, u32::MAX), (65_536, 1), (20_000, 20_000)] {
        let error = InvalidImageSize::TooLarge { width, height };
        assert_eq!(png(width, height), Err(UnreadableImage::Size(error)));
    }
    let mut bmp = file(BMP);
    bmp[22..26].copy_from_slice(&i32::MIN.to_le_bytes());
    assert!(matches!(ImageSize::of_file(&bmp), Err(UnreadableImage::Size(_))));
}

#[test]
fn images_in_addresses_are_read() {
    for base64 in &FILES[..8] {
        for start in [
            "data:image/png;base64,",
            "DATA:;Base64,",
            "data:image/jpeg;name=a.jpg;base64,",
        ] {
            assert_eq!(
                ImageSize::of_data_url(&format!("{start}{base64}")),
                Ok(size(40, 30))
            );
        }
    }
}

#[test]
fn images_of_messages_are_looked_into_where_they_can_be() {
    let of = |url: &str, detail| {
        VisionImage::from(&Image {
            at: 0,
            url: url.to_owned(),
            detail,
        })
    };
    let inside = of(&format!("data:image/png;base64,{PNG}"), Some(ImageDetail::Low));
    assert_eq!(inside, image(40, 30, Some(ImageDetail::Low)));
    assert_eq!(of("https://example.com/1.png", None), VisionImage::default());
    assert_eq!(of("data:image/png;base64,AAAA", None), VisionImage::default());
}

#[test]
fn base64_may_be_on_lines_and_without_padding() {
    let lines: Vec<&str> = PNG
        .as_bytes()
        .chunks(76)
        .map(|line| str::from_utf8(line).unwrap())
        .collect();
    let url = format!("data:image/png;base64,{}\r\n", lines.join("\r\n"));
    assert_eq!(ImageSize::of_data_url(&url), Ok(size(40, 30)));
    let url = format!("data:image/png;base64,{}", PNG.trim_end_matches('='));
    assert_eq!(ImageSize::of_data_url(&url), Ok(size(40, 30)));
}

/// A JPEG file whose size stands behind so many bytes of EXIF data, and pixels behind it.
fn jpeg_behind(segments: usize) -> Vec<u8> {
    let mut bytes = b"\xff\xd8".to_vec();
    for _ in 0..segments {
        bytes.extend(b"\xff\xe1\xff\xff");
        bytes.resize(bytes.len() + 65_533, 7);
    }
    bytes.extend(b"\xff\xc0\x00\x11\x08\x00\x1e\x00\x28");
    bytes.resize(bytes.len() + 1_000_000, 9);
    bytes
}

#[test]
fn a_size_is_found_in_the_first_256_kib() {
    for segments in [0, 1, 3] {
        let bytes = jpeg_behind(segments);
        assert_size(&bytes, 40, 30);
        let url = format!("data:image/jpeg;base64,{}", STANDARD.encode(&bytes));
        assert_eq!(ImageSize::of_data_url(&url), Ok(size(40, 30)));
    }
    let bytes = jpeg_behind(4);
    assert_refused(&bytes, UnreadableImage::Truncated);
    let url = format!("data:image/jpeg;base64,{}", STANDARD.encode(&bytes));
    assert_eq!(ImageSize::of_data_url(&url), Err(UnreadableImage::Truncated));
}

#[test]
fn base64_on_lines_may_be_cut_anywhere() {
    let text = STANDARD.encode(jpeg_behind(1));
    for length in 61..=80 {
        let lines: Vec<&str> = text
            .as_bytes()
            .chunks(length)
            .map(|line| str::from_utf8(line).unwrap())
            .collect();
        let url = format!("data:image/jpeg;base64,{}", lines.join("\n"));
        assert_eq!(
            ImageSize::of_data_url(&url),
            Ok(size(40, 30)),
            "lines of {length}"
        );
    }
}

#[test]
fn addresses_without_an_image_are_refused() {
    for url in [
        "",
        "data",
        "https://example.com/a.png",
        "images/1.png",
        "dat\u{e4}:;base64,AAAA",
    ] {
        assert_eq!(
            ImageSize::of_data_url(url),
            Err(UnreadableImage::Elsewhere),
            "{url}"
        );
    }
    for url in [
        "data:",
        "data:image/png;base64",
        "data:image/png,%89PNG",
        "data:image/png;base64,$$$$",
        "data:image/png;base64,iVBORw0KGg=oAAAA",
    ] {
        assert_eq!(
            ImageSize::of_data_url(url),
            Err(UnreadableImage::NotBase64),
            "{url}"
        );
    }
    assert_eq!(
        ImageSize::of_data_url("data:image/png;base64,"),
        Err(UnreadableImage::UnknownFormat)
    );
}

/// A real file that something happened to.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<u8>());
    (
        prop::sample::select(&FILES[..]),
        prop::collection::vec(change, 0..6),
        any::<prop::sample::Index>(),
    )
        .prop_map(|(base64, changes, end)| {
            let mut bytes = file(base64);
            for (at, byte) in changes {
                let at = at.index(bytes.len().min(48));
                bytes[at] = byte;
            }
            bytes.truncate(end.index(bytes.len() + 1));
            bytes
        })
}

/// Any bytes, mostly behind the begin of a format.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let begins = vec![
        &b""[..],
        b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR",
        b"\xff\xd8\xff",
        b"GIF89a",
        b"RIFF\0\0\0\0WEBPVP8",
        b"BM",
    ];
    (
        prop::sample::select(begins),
        prop::collection::vec(any::<u8>(), 0..400),
    )
        .prop_map(|(begin, rest)| [begin, &rest].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_panic_and_all_sizes_are_possible(bytes in prop_oneof![damaged(), hostile()]) {
        let told = ImageSize::of_file(&bytes);
        if let Ok(told) = told {
            prop_assert_eq!(ImageSize::new(told.width(), told.height()), Ok(told));
        }
        // An image in its address is the same image.
        let url = format!("data:;base64,{}", STANDARD.encode(&bytes));
        prop_assert_eq!(ImageSize::of_data_url(&url), told);
    }

    #[test]
    fn more_of_a_file_does_not_change_what_was_told(bytes in prop_oneof![damaged(), hostile()], end: prop::sample::Index) {
        let begin = &bytes[..end.index(bytes.len() + 1)];
        if let Ok(told) = ImageSize::of_file(begin) {
            prop_assert_eq!(ImageSize::of_file(&bytes), Ok(told));
        }
    }
}

proptest! {
    #[test]
    fn no_address_panics(url in "(data:)?[ -~\u{e4}]{0,80}", rest in "[A-Za-z0-9+/= \n]{0,200}") {
        let told = ImageSize::of_data_url(&url);
        if !url.starts_with("data:") {
            prop_assert_eq!(told, Err(UnreadableImage::Elsewhere));
        }
        let behind = ImageSize::of_data_url(&format!("data:image/png;base64,{rest}"));
        prop_assert_ne!(behind, Err(UnreadableImage::Elsewhere));
    }
}
