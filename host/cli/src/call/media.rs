//! Media types by file name, and whether bytes are text.

use std::path::Path;

/// Media types that matter for documents; anything else follows from the bytes.
const TYPES: &[(&str, &str)] = &[
    ("txt", "text/plain"),
    ("log", "text/plain"),
    ("md", "text/markdown"),
    ("markdown", "text/markdown"),
    ("rst", "text/x-rst"),
    ("html", "text/html"),
    ("htm", "text/html"),
    ("css", "text/css"),
    ("csv", "text/csv"),
    ("tsv", "text/tab-separated-values"),
    ("xml", "application/xml"),
    ("json", "application/json"),
    ("jsonl", "application/jsonl"),
    ("yml", "application/yaml"),
    ("yaml", "application/yaml"),
    ("toml", "application/toml"),
    ("js", "text/javascript"),
    ("rs", "text/x-rust"),
    ("py", "text/x-python"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("mp3", "audio/mpeg"),
    ("wav", "audio/wav"),
    ("ogg", "audio/ogg"),
    ("mp4", "video/mp4"),
    ("webm", "video/webm"),
    ("pdf", "application/pdf"),
    ("zip", "application/zip"),
    ("gz", "application/gzip"),
    ("wasm", "application/wasm"),
];

/// The media type of a file; `is_text` decides where the name says nothing.
pub(crate) fn media_type(path: &Path, is_text: bool) -> &'static str {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
    let known = TYPES.iter().find(|(name, _)| *name == extension).map(|(_, media_type)| *media_type);
    known.unwrap_or(if is_text { "text/plain" } else { "application/octet-stream" })
}

/// The bytes as text, if they are text: UTF-8 without NUL, a byte order mark taken off.
pub(crate) fn text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))?;
    Some(text.strip_prefix('\u{feff}').unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_follow_name_then_content() {
        let check = |name: &str, bytes: &[u8], expected: &str| {
            assert_eq!(media_type(Path::new(name), text(bytes).is_some()), expected, "{name}");
        };
        check("a.MD", b"# x", "text/markdown");
        check("photo.jpeg", b"\xff\xd8", "image/jpeg");
        check("LICENSE", b"text", "text/plain");
        check("unknown.bin", b"\0\x01", "application/octet-stream");
    }

    #[test]
    fn text_is_utf8_without_nul() {
        let check = |bytes: &[u8], expected: Option<&str>| assert_eq!(text(bytes), expected);
        check(b"a", Some("a"));
        check("\u{feff}a".as_bytes(), Some("a"));
        check(b"a\0", None);
        check(b"\xff", None);
    }
}
