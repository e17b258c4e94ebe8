# Makes lists comparable from run to run: a time of this run is `now`, and a directory's link count is left out: it counts its
# subdirectories, and not in every filesystem.
{
  line = $1
  for (i = 2; i <= NF; i++) {
    if ($i ~ /^nlink=/ && $2 == "type=directory") continue
    if (split($i, time, /[=.]/) == 3 && time[1] == "mtime" && time[2] >= began && time[2] < began + 86400) $i = "mtime=now"
    line = line OFS $i
  }
  print line
}
