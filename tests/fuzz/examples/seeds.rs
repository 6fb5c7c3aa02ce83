//! Writes the seeds of a target as files: `seeds TARGET FOLDER`.

use std::path::PathBuf;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (target, folder) = (arguments.next(), arguments.next().map(PathBuf::from));
    let (Some(target), Some(folder)) = (target, folder) else {
        panic!("usage: seeds TARGET FOLDER");
    };
    let seeds = match target.as_str() {
        "elf" => fuzz::seeds::elf(),
        "trace" => fuzz::seeds::trace(),
        "compressed" => fuzz::seeds::compressed(),
        "ring" => fuzz::seeds::ring(),
        "config" => fuzz::seeds::config(),
        _ => panic!("there is no target {target}"),
    };
    std::fs::create_dir_all(&folder).expect("a folder for the seeds");
    for (i, seed) in seeds.iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{i}")), seed).expect("a file for each seed");
    }
}
