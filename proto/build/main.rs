//! Generates the messages that no crate publishes, from `protos/`, without `protoc`; and cuts the descriptor set that
//! `json.rs` embeds out of the one in envoy-types' package.

#![allow(clippy::print_stdout)] // How a build script talks to cargo.

mod accepted;
mod locate;
mod maps;
mod prune;

use std::error::Error;
use std::path::PathBuf;

use prost::Message;
use prost_types::FileDescriptorSet;

const PROTOS: &[&str] = &[
    "istio/alpn.proto",
    "istio/ca.proto",
    "istio/connect_authority.proto",
    "istio/metadata_exchange.proto",
    "istio/nds.proto",
    "istio/network_authn.proto",
    "istio/network_peer_metadata.proto",
    "istio/peer_metadata.proto",
    "istio/set_internal_dst_address.proto",
    "istio/stats.proto",
    "mesh/mcp.proto",
    "udpa/typed_struct.proto",
    "xds/typed_struct.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=protos");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let ours = protox::compile(PROTOS, ["protos"])?;
    generate(&ours)?;

    let types = locate::envoy_types()?.join("src/generated/types.bin");
    println!("cargo::rerun-if-changed={}", types.display());
    let bytes = std::fs::read(&types).map_err(|error| format!("cannot read {}: {error}", types.display()))?;
    let mut all = FileDescriptorSet::decode(bytes.as_slice())?;
    let ours = ours.file.into_iter().filter(|file| PROTOS.contains(&file.name()));
    all.file.extend(ours);
    if let Some(name) = accepted::missing(&prune::messages(&all)) {
        return Err(format!("{name} is listed in build/accepted.rs, but there is no such thing").into());
    }
    std::fs::write(out.join("maps.rs"), maps::table(&all)?)?;
    let every = prune::prune(all.clone(), |package, _| accepted::is_current(package));
    std::fs::write(out.join("every.bin"), every.encode_to_vec())?;
    let pruned = prune::prune(all, accepted::is_accepted);
    std::fs::write(out.join("accepted.bin"), pruned.encode_to_vec())?;
    std::fs::write(out.join("sensitive.txt"), prune::sensitive_fields(&bytes)?.join("\n"))?;
    Ok(())
}

fn generate(ours: &FileDescriptorSet) -> Result<(), Box<dyn Error>> {
    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names().type_name_domain(["."], "type.googleapis.com");
    tonic_prost_build::configure()
        .compile_well_known_types(true)
        .extern_path(".google.protobuf", "::envoy_types::pb::google::protobuf")
        // Ordered maps: the same table must be the same bytes, for versions are content hashes.
        .btree_map(".")
        .bytes(".mesh.mcp.v1.Object.json")
        .emit_rerun_if_changed(false)
        .compile_fds_with_config(ours.clone(), config)?;
    Ok(())
}
