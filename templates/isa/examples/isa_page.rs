//! Prints the ISA page of the documentation: `cargo run -p hartlog-isa --example isa_page`.

fn main() {
    let mut page = String::new();
    hartlog_isa::write_isa_page(&mut page).expect("writing to a String does not fail");
    print!("{page}");
}
