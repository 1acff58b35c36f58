"""gristmill keys, attest, verify

Proof that travels with a model: who signs says that this model came from that text by these stages, and anybody with
the public key and no project can check it offline.

    model/                            the model in Hugging Face format; in MLflow `artifacts/model`
    attestation/model.intoto.jsonl    the statement about the model: a hash of every file here and of its stages
    attestation/stages/*.intoto.jsonl a statement per stage: hashes of its inputs and outputs, its settings
    attestation/model.sig             the signature of OpenSSF's `model-signing` over model/, but not its README.md
    attestation/bom.cdx.json          CycloneDX: model card, data sets, base model, libraries, training
    attestation/metrics.json          the evaluation

Statements are in-toto's, with SLSA's provenance predicate, in DSSE envelopes. Every hash is read from a file and
compared with dvc.lock; nobody types one.

keys        makes, reads and guards keys
lock        what dvc.lock says about the stages of a model, held against the files
layout      where files are in a folder that was written out, and in a model folder of MLflow
statements  writes and reads statements
bom         the bill of materials
sign        attests a version: collects, signs, keeps
verify      checks a folder without a project
"""
