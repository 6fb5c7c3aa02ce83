//! Floating point in software: planets, the Mandelbrot set, and functions of the `libm` crate.

use alloc::format;
use support::Checksum;

#[derive(Clone, Copy)]
struct Body {
    position: [f64; 3],
    velocity: [f64; 3],
    mass: f64,
}

fn bodies() -> [Body; 4] {
    let body = |x: f64, y: f64, vx: f64, vy: f64, mass: f64| Body {
        position: [x, y, 0.01 * x],
        velocity: [vx, vy, -0.002 * vy],
        mass,
    };
    [
        body(0.0, 0.0, 0.0, 0.0, 40.0),
        body(4.8, -1.2, 0.6, 2.8, 0.04),
        body(8.3, 4.1, -1.0, 1.8, 0.01),
        body(12.9, -15.1, 1.1, 0.9, 0.002),
    ]
}

fn advance(bodies: &mut [Body; 4], dt: f64) {
    for i in 0..bodies.len() {
        for j in i + 1..bodies.len() {
            let mut delta = [0.0; 3];
            for (k, d) in delta.iter_mut().enumerate() {
                *d = bodies[i].position[k] - bodies[j].position[k];
            }
            let square: f64 = delta.iter().map(|d| d * d).sum();
            let factor = dt / (square * libm::sqrt(square));
            let (mi, mj) = (bodies[i].mass, bodies[j].mass);
            for (k, d) in delta.iter().enumerate() {
                bodies[i].velocity[k] -= d * mj * factor;
                bodies[j].velocity[k] += d * mi * factor;
            }
        }
    }
    for body in bodies {
        for (p, v) in body.position.iter_mut().zip(body.velocity) {
            *p += dt * v;
        }
    }
}

fn mandelbrot(row: u64) -> u64 {
    let im = (row % 16) as f32 / 8.0 - 1.0;
    let mut inside = 0;
    for column in 0..16 {
        let re = column as f32 / 6.0 - 2.0;
        let (mut x, mut y, mut steps) = (0.0f32, 0.0f32, 0u64);
        while x * x + y * y <= 4.0 && steps < 30 {
            (x, y) = (x * x - y * y + re, 2.0 * x * y + im);
            steps += 1;
        }
        inside += steps;
    }
    inside
}

/// One iteration is ten time steps, one row, and a handful of transcendental functions.
pub fn run(iterations: u64) -> u64 {
    let mut sum = Checksum::new();
    let mut system = bodies();
    for round in 0..iterations {
        for _ in 0..10 {
            advance(&mut system, 0.01);
        }
        sum.word(system[1].position[0].to_bits());
        sum.word(mandelbrot(round));
        let x = round as f64 / 7.0 + 0.1;
        for value in [
            libm::sin(x),
            libm::exp(-x),
            libm::log(x),
            libm::pow(x, 1.3),
            libm::atan2(x, 2.0),
            libm::cbrt(x),
        ] {
            sum.word(value.to_bits());
        }
        let text = format!("{x:.6} {:e}", system[2].velocity[1]);
        sum.bytes(text.as_bytes());
        let parsed: f64 = text
            .split(' ')
            .next()
            .and_then(|word| word.parse().ok())
            .unwrap_or(0.0);
        sum.word((parsed * 1000.0) as u64);
    }
    sum.value()
}
