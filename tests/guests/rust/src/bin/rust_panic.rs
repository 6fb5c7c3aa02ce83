//! Panics on an index out of bounds: message on standard error, exit status 101.
#![cfg_attr(target_os = "none", no_std, no_main)]

support::entry!(run);

fn run(args: support::Args) {
    let table = [1u64, 1, 2, 3, 5, 8, 13, 21];
    let index = args.iterations(8) as usize;
    support::println!("entry 7 is {}", table[7]);
    support::println!("entry {index} is {}", table[index]);
}
