//! The documentation page is the one that the table gives.

#[test]
fn isa_page_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/isa.md");
    let committed = std::fs::read_to_string(path).unwrap();
    let mut page = String::new();
    hartlog_isa::write_isa_page(&mut page).unwrap();
    assert!(
        page == committed,
        "docs/isa.md is out of date: cargo run -p hartlog-isa --example isa_page > docs/isa.md"
    );
}
