//! The compiling process by itself: what the command line's hidden subcommand does. Tests start it.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    Ok(lockgate_runtime::compile_worker(std::io::stdin().lock(), std::io::stdout().lock())?)
}
