//! Rows as CSV (RFC 4180): a header line with the columns, then a line per row. Values that are not texts are JSON.

use csv::{Terminator, Writer, WriterBuilder};
use serde_json::Value;

/// The header line.
pub(super) fn header(columns: &[String]) -> Vec<u8> {
    lines(|writer| writer.write_record(columns))
}

/// One line per row. A field without a column is left out; a missing or null field is empty.
pub(super) fn rows(columns: &[String], rows: &[Value]) -> Vec<u8> {
    lines(|writer| {
        rows.iter()
            .try_for_each(|row| writer.write_record(columns.iter().map(|column| cell(row.get(column)))))
    })
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        // A spreadsheet would run such a text as a formula. The apostrophe makes it a text.
        Some(Value::String(text)) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => format!("'{text}"),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn lines(write: impl FnOnce(&mut Writer<Vec<u8>>) -> csv::Result<()>) -> Vec<u8> {
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new());
    // Writing to memory with as many cells as columns cannot fail.
    let written = write(&mut writer);
    written.ok().and_then(|()| writer.into_inner().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn written_rows_read_back() {
        let columns: Vec<String> = ["id", "name", "data"].map(str::to_owned).into();
        let given = [
            json!({"id": "1", "name": "a,b \"c\"\r\nd", "data": {"k": [1, true]}}),
            json!({"name": null, "extra": "x", "id": 2}),
        ];
        let text = [header(&columns), rows(&columns, &given)].concat();
        let mut reader = csv::Reader::from_reader(text.as_slice());
        assert_eq!(reader.headers().unwrap(), vec!["id", "name", "data"]);
        let read: Vec<Vec<String>> =
            reader.records().map(|r| r.unwrap().iter().map(str::to_owned).collect()).collect();
        assert_eq!(read, [["1", "a,b \"c\"\r\nd", "{\"k\":[1,true]}"], ["2", "", ""]]);
    }

    #[test]
    fn no_cell_is_a_formula() {
        let columns = vec!["a".to_owned()];
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"] {
            let written = rows(&columns, &[json!({"a": text})]);
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(written.as_slice());
            let read = reader.records().next().unwrap().unwrap();
            assert_eq!(read.get(0), Some(format!("'{text}").as_str()));
        }
        assert_eq!(rows(&columns, &[json!({"a": -1})]), b"-1\r\n");
    }

    #[test]
    fn a_list_without_columns_has_empty_lines_only() {
        assert!(header(&[]).iter().chain(&rows(&[], &[json!(1)])).all(|byte| b"\"\r\n".contains(byte)));
    }
}
