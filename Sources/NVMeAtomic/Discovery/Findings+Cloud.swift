/// What is only written about a cloud provider's volume.
extension Findings {
  var documented: [Finding] {
    guard let promise = report.documented else { return [] }
    let said =
      promise.sizesBytes.isEmpty
      ? "promises no length" : "says that \(Self.text(ofLengths: promise.sizesBytes)) stay whole"
    return [
      Finding(
        .cloudVolume,
        .info,
        .device,
        "\(promise.provider), \(promise.product): the provider's documentation, not the device, "
          + "\(said) (\(promise.conditions)), which no answer here counts on: \(promise.source)."
      )
    ]
  }
}
