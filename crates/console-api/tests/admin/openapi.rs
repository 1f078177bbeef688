//! The operator's `OpenAPI` document, locked.

#[test]
fn the_document_is_the_one_that_was_reviewed() {
    insta::assert_json_snapshot!(silica_console_api::openapi(), { ".info.version" => "[version]" });
}
