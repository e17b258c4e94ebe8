# The rows of the table of outcomes in docs/DIVERGENCES.md, from cases.txt: cases, agrees, differs, refuses, cannot be read.
# Trees that differ in times alone that no entry gives count as equal.
BEGIN {
  title["gnutar"] = "GNU tar"
  title["bsdtar"] = "bsdtar"
  title["umoci"] = "umoci"
  title["containerd-native"] = "containerd, native"
  title["containerd-overlayfs"] = "containerd, overlayfs"
}
/^#/ { next }
{
  gsub(/§1-root-without-entry|§2-implicit-parents|,/, "", $5)
  outcome = $4 == "differs" && $5 == "" ? "agrees" : $4
  n[$3, outcome] += split($2, numbers, ",")
}
END {
  split("gnutar bsdtar umoci containerd-native containerd-overlayfs", peers, " ")
  for (i = 1; i <= 5; i++) {
    p = peers[i]
    all = n[p, "agrees"] + n[p, "differs"] + n[p, "refused"] + n[p, "unreadable"]
    printf "| %s | %d | %d | %d | %d | %d |\n", title[p], all, n[p, "agrees"], n[p, "differs"], n[p, "refused"], n[p, "unreadable"]
  }
}
