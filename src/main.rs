//! The exit code, nothing else.

fn main() -> std::process::ExitCode {
    meu::cli::main()
}
