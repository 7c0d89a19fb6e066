{%- macro is_loaded(stream) -%}
    {{ return(stream in var('fullstory_imports_streams')) }}
{%- endmacro -%}

{#- The columns of a raw table. A table that is missing or may not be read stops dbt. -#}
{%- macro raw_columns(source) -%}
    {%- set names = [] -%}
    {%- if execute -%}
        {%- for name in run_query('select * from ' ~ source ~ ' where 1 = 0').column_names -%}
            {%- do names.append(name | lower) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(names) }}
{%- endmacro -%}

{#- A field of a raw row as a typed column; null if the tap leaves its column out. -#}
{%- macro field(columns, path, type, is_key=false) -%}
    {%- set column = quoted(path[0]) -%}
    {%- if execute and path[0] not in columns -%}
        {%- if is_key -%}
            {%- do exceptions.raise_compiler_error('The loaded table has no column `' ~ path[0] ~ '`, which is part of its key.') -%}
        {%- endif -%}
        cast(null as {{ sql_type(type) }})
    {%- elif path | length > 1 -%} {{ typed(json_get(column, path[1:]), type) }}
    {%- elif type == 'json' -%} {{ typed(column, type) }}
    {%- elif type in ('int', 'date') -%} cast({{ column }} as {{ sql_type(type) }})
    {%- else -%} {{ column }}
    {%- endif %} as {{ quoted(path | join('_')) }}
{%- endmacro -%}
